// The settings that there are, and what they may be set to.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "catalog/policies/keep_rules.h"

namespace ckptfs {

// Of one workspace, or of the store, by key. What is in here may come from a file that others have written:
// Settings passes over what RequireSoundSetting would refuse.
using SettingMap = std::map<std::string, std::string>;

inline constexpr char kLimitSnapshots[] = "limit.snapshots";
// Switches off what the store's setting of the same key says: "no such rule".
inline constexpr char kSettingOff[] = "off";

// Throws Error EINVAL, with what to write instead: there is no such key, or it cannot have that value.
void RequireSettingKey(const std::string& key);
void RequireSoundSetting(const std::string& key, const std::string& value);

// The entries of `settings` that RequireSoundSetting lets pass.
SettingMap SoundSettings(const SettingMap& settings);

enum class SettingOrigin { kDefault, kStore, kWorkspace };
const char* ToString(SettingOrigin origin);  // "default", "store", "workspace"

struct Setting {
  std::string key;
  std::optional<std::string> value;  // empty: it is not set
  SettingOrigin origin = SettingOrigin::kDefault;
};

// What holds for one workspace, or, without its settings, for the store: key by key the workspace's, else the
// store's, else the default. Of limits the smaller holds: no user lifts one that root has set. A value.
class Settings {
 public:
  Settings(const SettingMap& store, const SettingMap& workspace);

  Setting Get(const std::string& key) const;  // EINVAL: no such key
  std::vector<Setting> All() const;           // in the order of the manual

  // The keep rules among them; empty if there are none.
  KeepRules Rules() const;
  std::optional<uint64_t> Limit(const std::string& key) const;

 private:
  SettingMap store_;
  SettingMap workspace_;
};

// Rules as a command is given them: keys and values of settings, and "keep", which is a count or a span. Throws
// Error EINVAL.
KeepRules RulesFrom(const SettingMap& given);

}  // namespace ckptfs
