// The settings and their permitted values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "catalog/policies/keep_rules.h"

namespace ckptfs {

// Settings of a workspace or of the store, by key. The map may come from a file that others have written:
// Settings ignores what RequireSoundSetting would refuse.
using SettingMap = std::map<std::string, std::string>;

inline constexpr char kLimitSnapshots[] = "limit.snapshots";
inline constexpr char kCleanupAuto[] = "cleanup.auto";
inline constexpr char kCleanupInterval[] = "cleanup.interval";
inline constexpr char kCleanupMinAge[] = "cleanup.min-age";
inline constexpr char kSchedule[] = "schedule";
inline constexpr char kSpaceMinFree[] = "space.min-free";
inline constexpr char kHealthInterval[] = "health.interval";
inline constexpr char kHealthSnapshots[] = "health.snapshots";
inline constexpr char kHealthUsed[] = "health.used";
// Disables the rule that the store's setting of the same key gives.
inline constexpr char kSettingOff[] = "off";

// The shortest interval at which the daemon does something by itself.
inline constexpr int64_t kIntervalMinNs = int64_t{5} * 1'000'000'000;

// Throws Error EINVAL, with the correct form, for an unknown key or a value that the key does not permit.
void RequireSettingKey(const std::string& key);
void RequireSoundSetting(const std::string& key, const std::string& value);

// Whether the key describes the whole store, so that no workspace can have its own value.
bool IsOfStoreOnly(const std::string& key);

// The entries of `settings` that RequireSoundSetting accepts.
SettingMap SoundSettings(const SettingMap& settings);

enum class SettingOrigin { kDefault, kStore, kWorkspace };
const char* ToString(SettingOrigin origin);  // "default", "store", "workspace"

struct Setting {
  std::string key;
  std::optional<std::string> value;  // empty: not set, and there is no default
  SettingOrigin origin = SettingOrigin::kDefault;
};

// The settings in effect for a workspace or, without workspace settings, for the store. For each key: the
// workspace's value, else the store's, else the default. Of two limits the smaller applies, so no user can
// raise one that root has set. A value type.
class Settings {
 public:
  Settings(const SettingMap& store, const SettingMap& workspace);

  Setting Get(const std::string& key) const;  // EINVAL: unknown key
  std::vector<Setting> All() const;           // in the order of the manual

  // The keep rules among the settings; empty if there are none.
  KeepRules Rules() const;
  // A number or percentage; empty: none, or off.
  std::optional<uint64_t> Limit(const std::string& key) const;
  bool IsOn(const std::string& key) const;
  // A span in nanoseconds; empty: off.
  std::optional<int64_t> SpanNs(const std::string& key) const;
  // How much of a store of that size space.min-free keeps free; 0: off.
  uint64_t MinFreeBytes(uint64_t total_bytes) const;

 private:
  SettingMap store_;
  SettingMap workspace_;
};

// Rules from a command's arguments: keys and values of settings, and "keep", which is a count or a span.
// Throws Error EINVAL.
KeepRules RulesFrom(const SettingMap& given);

}  // namespace ckptfs
