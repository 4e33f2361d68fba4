#include "catalog/policies/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

using testing::HasSubstr;

std::string RefusalOf(const std::string& key, const std::string& value) {
  try {
    RequireSoundSetting(key, value);
  } catch (const Error& error) {
    EXPECT_EQ(error.errno_value(), EINVAL);
    return error.what();
  }
  return "";
}

TEST(SettingsTest, WhatCanBeSet) {
  EXPECT_EQ(RefusalOf("keep.last", "1"), "");
  EXPECT_EQ(RefusalOf("keep.last", "unlimited"), "");
  EXPECT_EQ(RefusalOf("keep.within-daily", "1y6mo"), "");
  EXPECT_EQ(RefusalOf("limit.snapshots", "1000000"), "");
  EXPECT_EQ(RefusalOf("keep.last", "off"), "");
}

TEST(SettingsTest, WhatCannotBeSet) {
  for (const char* value : {"-1", "0", "1e9", "30m", "", "1000001", "3d"}) {
    EXPECT_THAT(RefusalOf("keep.last", value), HasSubstr("keep.last")) << value;
  }
  EXPECT_THAT(RefusalOf("keep.within", "30m"),
              testing::AllOf(HasSubstr("30min"), HasSubstr("30mo")));
  EXPECT_THAT(RefusalOf("keep.within", "30"), HasSubstr("unit"));
  EXPECT_THAT(RefusalOf("limit.snapshots", "unlimited"), HasSubstr("whole number"));
  EXPECT_THAT(RefusalOf("keep.lats", "3"), HasSubstr("no such key"));
  EXPECT_THAT(RefusalOf("", "3"), HasSubstr("no such key"));
}

TEST(SettingsTest, WhatTheDaemonDoesByItself) {
  const auto good = [](const char* key, const char* value) {
    EXPECT_EQ(RefusalOf(key, value), "") << key << "=" << value;
  };
  const auto bad = [](const char* key, const char* value) {
    EXPECT_THAT(RefusalOf(key, value), HasSubstr(key)) << key << "=" << value;
  };
  for (const char* value : {"on", "off"}) good(kCleanupAuto, value);
  for (const char* value : {"", "yes", "1", "ON"}) bad(kCleanupAuto, value);
  for (const char* value : {"5s", "1h", "200y"}) good(kCleanupInterval, value);
  for (const char* value : {"4s", "0s", "0", "off", "1m", "201y"}) bad(kCleanupInterval, value);
  for (const char* value : {"off", "5s", "1d"}) good(kSchedule, value);
  for (const char* value : {"0", "4s", "on", "30m"}) bad(kSchedule, value);
  for (const char* value : {"off", "1s", "2w"}) good(kCleanupMinAge, value);
  for (const char* value : {"off", "1", "5G", "10GiB", "1%", "90%"}) good(kSpaceMinFree, value);
  for (const char* value : {"0", "0%", "91%", "10 %", "x", "1.5G"}) bad(kSpaceMinFree, value);
  for (const char* value : {"off", "1%", "99%"}) good(kHealthUsed, value);
  for (const char* value : {"90", "100%", "%"}) bad(kHealthUsed, value);
  for (const char* value : {"off", "1", "1000000"}) good(kHealthSnapshots, value);
  for (const char* value : {"0", "-1", "unlimited"}) bad(kHealthSnapshots, value);
}

TEST(SettingsTest, Defaults) {
  const Settings none({}, {});
  EXPECT_FALSE(none.IsOn(kCleanupAuto));
  EXPECT_EQ(none.Get(kCleanupAuto).value, "off");
  EXPECT_EQ(none.Get(kCleanupAuto).origin, SettingOrigin::kDefault);
  EXPECT_EQ(none.SpanNs(kCleanupInterval), int64_t{3600} * 1'000'000'000);
  EXPECT_EQ(none.SpanNs(kCleanupMinAge), int64_t{3600} * 1'000'000'000);
  EXPECT_EQ(none.SpanNs(kSchedule), std::nullopt);
  EXPECT_EQ(none.SpanNs(kHealthInterval), int64_t{300} * 1'000'000'000);
  EXPECT_EQ(none.Limit(kHealthSnapshots), 1000U);
  EXPECT_EQ(none.Limit(kHealthUsed), 90U);
  EXPECT_EQ(none.MinFreeBytes(1000), 0U);
}

TEST(SettingsTest, FreeSpaceIsANumberOrAPart) {
  const auto free = [](const char* value, uint64_t total) {
    return Settings({{kSpaceMinFree, value}}, {}).MinFreeBytes(total);
  };
  EXPECT_EQ(free("2K", 1), 2048U);
  EXPECT_EQ(free("10%", 1009), 100U);
  EXPECT_EQ(free("90%", UINT64_MAX), UINT64_MAX / 100 * 90 + UINT64_MAX % 100 * 90 / 100);
  EXPECT_EQ(free("off", 1000), 0U);
}

TEST(SettingsTest, WhatIsOfTheStoreOnlyNoWorkspaceHas) {
  EXPECT_TRUE(IsOfStoreOnly(kHealthUsed));
  EXPECT_TRUE(IsOfStoreOnly(kHealthInterval));
  EXPECT_FALSE(IsOfStoreOnly(kHealthSnapshots));
  const Settings settings({{kHealthUsed, "80%"}}, {{kHealthUsed, "10%"}});
  EXPECT_EQ(settings.Limit(kHealthUsed), 80U);
  EXPECT_EQ(settings.Get(kHealthUsed).origin, SettingOrigin::kStore);
}

TEST(SettingsTest, TheWorkspacesComeBeforeTheStores) {
  const Settings settings({{"keep.last", "10"}, {"keep.daily", "7"}, {"keep.within", "30d"}},
                          {{"keep.last", "3"}, {"keep.within", "off"}});
  EXPECT_EQ(settings.Get("keep.last").value, "3");
  EXPECT_EQ(settings.Get("keep.last").origin, SettingOrigin::kWorkspace);
  EXPECT_EQ(settings.Get("keep.daily").origin, SettingOrigin::kStore);
  EXPECT_EQ(settings.Get("keep.yearly").value, std::nullopt);
  EXPECT_EQ(settings.Get("keep.yearly").origin, SettingOrigin::kDefault);
  KeepRules rules = settings.Rules();
  EXPECT_EQ(rules.count(Period::kEach), 3U);
  EXPECT_EQ(rules.count(Period::kDay), 7U);
  EXPECT_TRUE(rules.span(Period::kEach).IsZero()) << "the workspace's is off";
  EXPECT_TRUE(Settings({{"keep.last", "3"}}, {{"keep.last", "off"}}).Rules().IsEmpty());
}

TEST(SettingsTest, OfLimitsTheSmallerHolds) {
  const auto limit = [](const SettingMap& store, const SettingMap& workspace) {
    return Settings(store, workspace).Limit(kLimitSnapshots);
  };
  const auto of = [](const char* value) { return SettingMap{{kLimitSnapshots, value}}; };
  EXPECT_EQ(limit({}, {}), std::nullopt);
  EXPECT_EQ(limit(of("10"), {}), 10U);
  EXPECT_EQ(limit(of("10"), of("20")), 10U);
  EXPECT_EQ(limit(of("10"), of("5")), 5U);
  EXPECT_EQ(limit(of("10"), of("off")), 10U);
  EXPECT_EQ(limit(of("off"), of("5")), 5U);
  EXPECT_EQ(limit(of("off"), of("off")), std::nullopt);
  EXPECT_EQ(Settings(of("10"), of("20")).Get(kLimitSnapshots).origin, SettingOrigin::kStore);
}

// A catalog or a sidecar that others have written.
TEST(SettingsTest, WhatIsNotSoundIsLeftOut) {
  EXPECT_EQ(SoundSettings({{"keep.last", "3"}, {"keep.daily", "many"}, {"of.newer", "1"}}),
            (SettingMap{{"keep.last", "3"}}));
  EXPECT_EQ(Settings({{"keep.last", "x"}}, {}).Get("keep.last").value, std::nullopt);
}

TEST(SettingsTest, RulesOfACommand) {
  EXPECT_EQ(RulesFrom({{"keep", "3"}}).counts.front(), 3U);
  EXPECT_EQ(RulesFrom({{"keep", "30d"}}).within.front(), (Span{.days = 30}));
  EXPECT_EQ(RulesFrom({{"keep.weekly", "5"}}).counts.at(3), 5U);
  EXPECT_TRUE(RulesFrom({}).IsEmpty());
  for (const char* value : {"-1", "0", "1e9", "30m", ""}) {
    EXPECT_THROW(RulesFrom({{"keep", value}}), Error) << value;
  }
}

}  // namespace
}  // namespace ckptfs
