#include "catalog/policies/span.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/time.h"
#include "tests/unit/catalog/policies/time_zone.h"

namespace ckptfs {
namespace {

std::string RefusalOfSpan(const std::string& text) {
  try {
    ParseSpan("keep.within", text);
  } catch (const Error& error) {
    EXPECT_EQ(error.errno_value(), EINVAL);
    return error.what();
  }
  return "";
}

std::string RefusalOfCount(const std::string& text) {
  try {
    ParseCount("keep.last", text);
  } catch (const Error& error) {
    EXPECT_EQ(error.errno_value(), EINVAL);
    return error.what();
  }
  return "";
}

TEST(SpanTest, EachUnit) {
  EXPECT_EQ(ParseSpan("k", "90s"), (Span{.seconds = 90}));
  EXPECT_EQ(ParseSpan("k", "30min"), (Span{.seconds = 1800}));
  EXPECT_EQ(ParseSpan("k", "36h"), (Span{.seconds = 129'600}));
  EXPECT_EQ(ParseSpan("k", "7d"), (Span{.days = 7}));
  EXPECT_EQ(ParseSpan("k", "2w"), (Span{.days = 14}));
  EXPECT_EQ(ParseSpan("k", "3mo"), (Span{.months = 3}));
  EXPECT_EQ(ParseSpan("k", "200y"), (Span{.years = 200}));
  EXPECT_EQ(ParseSpan("k", "2y5mo7d3h"),
            (Span{.years = 2, .months = 5, .days = 7, .seconds = 10'800}));
}

TEST(SpanTest, ABareMIsRefusedWithBothReadings) {
  const std::string refusal = RefusalOfSpan("30m");
  EXPECT_NE(refusal.find("30min"), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("30mo"), std::string::npos) << refusal;
  EXPECT_NE(RefusalOfSpan("1h30m").find("30min"), std::string::npos);
}

TEST(SpanTest, WhatIsNoLengthOfTime) {
  for (const char* text : {"",
                           "30",
                           "d",
                           "-1d",
                           "1.5d",
                           "1 d",
                           " 1d",
                           "1d ",
                           "1D",
                           "1dd",
                           "1mon",
                           "1e9s",
                           "0x10s",
                           "1d2",
                           "0d",
                           "0s0h",
                           "201y",
                           "2434mo",
                           "73001d",
                           "99999999999999999999s",
                           "6307200001s",
                           "100y100y1s"}) {
    EXPECT_NE(RefusalOfSpan(text), "") << text;
  }
}

TEST(SpanTest, Counts) {
  EXPECT_EQ(ParseCount("k", "1"), 1U);
  EXPECT_EQ(ParseCount("k", "1000000"), 1'000'000U);
  for (const char* text :
       {"", "0", "-1", "1e9", "30m", "1000001", "18446744073709551616", "+1", " 1", "1 ", "0x1"}) {
    EXPECT_NE(RefusalOfCount(text), "") << text;
  }
}

int64_t At(const char* text) { return ParseRfc3339(text).value(); }

TEST(SpanTest, MonthsAndYearsAreThoseOfTheCalendar) {
  const InTimeZone zone(kUtc);
  EXPECT_EQ(TimeBefore(At("2026-03-15T12:00:00.5Z"), ParseSpan("k", "1mo")),
            At("2026-02-15T12:00:00.5Z"));
  EXPECT_EQ(TimeBefore(At("2026-01-15T12:00:00Z"), ParseSpan("k", "2mo")),
            At("2025-11-15T12:00:00Z"));
  EXPECT_EQ(TimeBefore(At("2024-02-29T12:00:00Z"), ParseSpan("k", "1y")),
            At("2023-03-01T12:00:00Z"));
  EXPECT_EQ(TimeBefore(At("2026-03-31T12:00:00Z"), ParseSpan("k", "1mo")),
            At("2026-03-03T12:00:00Z"));
  EXPECT_EQ(TimeBefore(At("2026-01-01T00:00:00Z"), ParseSpan("k", "1s")),
            At("2025-12-31T23:59:59Z"));
}

TEST(SpanTest, ADayMayHaveMoreOrFewerHours) {
  const InTimeZone zone(kBerlin);
  const int64_t day_after_forward =
      At("2026-03-29T10:00:00Z");  // 12:00, an hour further than before
  EXPECT_EQ(TimeBefore(day_after_forward, ParseSpan("k", "1d")), At("2026-03-28T11:00:00Z"));
  EXPECT_EQ(TimeBefore(day_after_forward, ParseSpan("k", "24h")), At("2026-03-28T10:00:00Z"));
  const int64_t day_after_back = At("2026-10-25T11:00:00Z");
  EXPECT_EQ(TimeBefore(day_after_back, ParseSpan("k", "1d")), At("2026-10-24T10:00:00Z"));
}

TEST(SpanTest, TheLongestSpanOverflowsNothing) {
  const InTimeZone zone(kUtc);
  EXPECT_LT(TimeBefore(0, ParseSpan("k", "200y")), 0);
  EXPECT_EQ(TimeBefore(At("2226-01-01T00:00:00Z"), ParseSpan("k", "200y")),
            At("2026-01-01T00:00:00Z"));
  EXPECT_GT(NanosecondsOf(ParseSpan("k", "200y")), 0);
}

}  // namespace
}  // namespace ckptfs
