#include "catalog/policies/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/text.h"

namespace ckptfs {
namespace {

enum class Kind {
  kKeepCount,  // a count, or "unlimited"
  kKeepSpan,
  kLimit,     // a count; of the store's and the workspace's the smaller applies
  kSwitch,    // on or off
  kInterval,  // a span of at least kIntervalMinNs
  kAge,       // a span
  kFreeSpace,
  kCount,
  kPercent,
};

struct Key {
  const char* name = "";
  Kind kind{};
  Period period = Period::kEach;    // for rules
  const char* otherwise = nullptr;  // the default
  bool of_store_only = false;
  bool may_be_off = true;
};

constexpr std::array kKeys = {
    Key{"keep.last", Kind::kKeepCount, Period::kEach},
    Key{"keep.hourly", Kind::kKeepCount, Period::kHour},
    Key{"keep.daily", Kind::kKeepCount, Period::kDay},
    Key{"keep.weekly", Kind::kKeepCount, Period::kWeek},
    Key{"keep.monthly", Kind::kKeepCount, Period::kMonth},
    Key{"keep.yearly", Kind::kKeepCount, Period::kYear},
    Key{"keep.within", Kind::kKeepSpan, Period::kEach},
    Key{"keep.within-hourly", Kind::kKeepSpan, Period::kHour},
    Key{"keep.within-daily", Kind::kKeepSpan, Period::kDay},
    Key{"keep.within-weekly", Kind::kKeepSpan, Period::kWeek},
    Key{"keep.within-monthly", Kind::kKeepSpan, Period::kMonth},
    Key{"keep.within-yearly", Kind::kKeepSpan, Period::kYear},
    Key{kLimitSnapshots, Kind::kLimit},
    Key{.name = kCleanupAuto, .kind = Kind::kSwitch, .otherwise = kSettingOff},
    // Without an interval, cleanup.auto would be on and do nothing.
    Key{.name = kCleanupInterval, .kind = Kind::kInterval, .otherwise = "1h", .may_be_off = false},
    Key{.name = kCleanupMinAge, .kind = Kind::kAge, .otherwise = "1h"},
    Key{.name = kSchedule, .kind = Kind::kInterval, .otherwise = kSettingOff},
    Key{.name = kSpaceMinFree, .kind = Kind::kFreeSpace, .otherwise = kSettingOff},
    Key{.name = kHealthInterval,
        .kind = Kind::kInterval,
        .otherwise = "5min",
        .of_store_only = true},
    Key{.name = kHealthSnapshots, .kind = Kind::kCount, .otherwise = "1000"},
    Key{.name = kHealthUsed, .kind = Kind::kPercent, .otherwise = "90%", .of_store_only = true},
};

constexpr char kOn[] = "on";
constexpr uint64_t kUsedPercentMax = 99;
// More would leave hardly anything for what the store is for.
constexpr uint64_t kFreePercentMax = 90;

const Key& KeyNamed(const std::string& name) {
  const auto* const found =
      std::find_if(kKeys.begin(), kKeys.end(), [&](const Key& key) { return key.name == name; });
  if (found != kKeys.end()) return *found;
  constexpr size_t kToldBytesMax = 60;
  throw Error(EINVAL, "find the setting " + QuoteName(Excerpt(name, kToldBytesMax)),
              "there is no such key", "'ckpt config --list' shows those that there are");
}

// Adds the rule of that key to `rules`; nothing for a key that is not a rule, or for "off".
void AddRule(const Key& key, const std::string& value, KeepRules& rules) {
  if (value == kSettingOff) return;
  if (key.kind == Kind::kKeepCount) {
    rules.count(key.period) = value == "unlimited" ? kUnlimited : ParseCount(key.name, value);
  } else if (key.kind == Kind::kKeepSpan) {
    rules.span(key.period) = ParseSpan(key.name, value);
  }
}

int64_t ParseInterval(const Key& key, const std::string& value) {
  const int64_t interval_ns = NanosecondsOf(ParseSpan(key.name, value));
  if (interval_ns >= kIntervalMinNs) return interval_ns;
  throw Error(EINVAL, fmt::format("read {}", key.name), fmt::format("{} is too short", value),
              "Give at least 5s");
}

void RequireSwitch(const Key& key, const std::string& value) {
  if (value == kOn) return;
  constexpr size_t kToldBytesMax = 40;
  throw Error(EINVAL, fmt::format("read {}", key.name),
              fmt::format("'{}' is neither on nor off", Excerpt(value, kToldBytesMax)),
              "Give on or off");
}

// Not for "off".
void RequireSoundValue(const Key& key, const std::string& value) {
  KeepRules unused;
  switch (key.kind) {
    case Kind::kKeepCount:
    case Kind::kKeepSpan:
      return AddRule(key, value, unused);
    case Kind::kLimit:
    case Kind::kCount:
      ParseCount(key.name, value);
      return;
    case Kind::kSwitch:
      return RequireSwitch(key, value);
    case Kind::kInterval:
      ParseInterval(key, value);
      return;
    case Kind::kAge:
      ParseSpan(key.name, value);
      return;
    case Kind::kFreeSpace:
      ParseDiskShare(key.name, value, kFreePercentMax);
      return;
    case Kind::kPercent:
      ParsePercent(key.name, value, kUsedPercentMax);
      return;
  }
}

bool IsNumber(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

void RequireSettingKey(const std::string& key) { KeyNamed(key); }

void RequireSoundSetting(const std::string& key, const std::string& value) {
  const Key& known = KeyNamed(key);
  if (value != kSettingOff) return RequireSoundValue(known, value);
  if (known.may_be_off) return;
  throw Error(EINVAL, "set " + key, "it cannot be off",
              "For no automatic cleanup set cleanup.auto to off");
}

bool IsOfStoreOnly(const std::string& key) { return KeyNamed(key).of_store_only; }

SettingMap SoundSettings(const SettingMap& settings) {
  SettingMap sound;
  for (const auto& [key, value] : settings) {
    try {
      RequireSoundSetting(key, value);
      sound[key] = value;
    } catch (const Error&) {  // from a newer ckptfs, or invalid
    }
  }
  return sound;
}

const char* ToString(SettingOrigin origin) {
  switch (origin) {
    case SettingOrigin::kStore:
      return "store";
    case SettingOrigin::kWorkspace:
      return "workspace";
    case SettingOrigin::kDefault:
      break;
  }
  return "default";
}

Settings::Settings(const SettingMap& store, const SettingMap& workspace)
    : store_(SoundSettings(store)), workspace_(SoundSettings(workspace)) {}

Setting Settings::Get(const std::string& key) const {
  const Key& known = KeyNamed(key);
  const auto of_workspace = known.of_store_only ? workspace_.end() : workspace_.find(key);
  const auto of_store = store_.find(key);
  const bool stores_is_limit =
      known.kind == Kind::kLimit && of_store != store_.end() && of_store->second != kSettingOff;
  if (of_workspace != workspace_.end()) {
    const std::string& value = of_workspace->second;
    const bool is_stricter =
        !stores_is_limit ||
        (value != kSettingOff && ParseCount(key, value) <= ParseCount(key, of_store->second));
    if (is_stricter) return {key, value, SettingOrigin::kWorkspace};
  }
  if (of_store != store_.end()) return {key, of_store->second, SettingOrigin::kStore};
  return {key, known.otherwise ? std::optional<std::string>(known.otherwise) : std::nullopt,
          SettingOrigin::kDefault};
}

std::vector<Setting> Settings::All() const {
  std::vector<Setting> all;
  all.reserve(kKeys.size());
  for (const Key& key : kKeys) all.push_back(Get(key.name));
  return all;
}

KeepRules Settings::Rules() const {
  KeepRules rules;
  for (const Key& key : kKeys) {
    if (const auto value = Get(key.name).value) AddRule(key, *value, rules);
  }
  return rules;
}

std::optional<uint64_t> Settings::Limit(const std::string& key) const {
  const std::optional<std::string> value = Get(key).value;
  if (!value || *value == kSettingOff) return std::nullopt;
  return KeyNamed(key).kind == Kind::kPercent ? ParsePercent(key, *value, kUsedPercentMax)
                                              : ParseCount(key, *value);
}

bool Settings::IsOn(const std::string& key) const { return Get(key).value == kOn; }

std::optional<int64_t> Settings::SpanNs(const std::string& key) const {
  const std::optional<std::string> value = Get(key).value;
  if (!value || *value == kSettingOff) return std::nullopt;
  return NanosecondsOf(ParseSpan(key, *value));
}

uint64_t Settings::MinFreeBytes(uint64_t total_bytes) const {
  const std::optional<std::string> value = Get(kSpaceMinFree).value;
  if (!value || *value == kSettingOff) return 0;
  return ParseDiskShare(kSpaceMinFree, *value, kFreePercentMax).BytesOf(total_bytes);
}

KeepRules RulesFrom(const SettingMap& given) {
  KeepRules rules;
  for (const auto& [key, value] : given) {
    if (key == "keep") {
      const Key& meant = KeyNamed(IsNumber(value) ? "keep.last" : "keep.within");
      AddRule(meant, value, rules);
    } else {
      RequireSoundSetting(key, value);
      AddRule(KeyNamed(key), value, rules);
    }
  }
  return rules;
}

}  // namespace ckptfs
