#include "catalog/policies/span.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <optional>

#include "backend/base/byte_size.h"
#include "backend/base/error.h"
#include "backend/base/text.h"

namespace ckptfs {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kSecondsPerDay = 86'400;
constexpr int64_t kDaysPerMonth = 30;
constexpr int64_t kDaysPerYear = 365;
constexpr size_t kToldBytesMax = 40;
constexpr char kUnitsHint[] = "Give a number and a unit: s, min, h, d, w, mo or y";

struct Unit {
  std::string_view name;
  int64_t Span::*part;
  int64_t factor;
};
constexpr std::array kUnits = {Unit{"s", &Span::seconds, 1},    Unit{"min", &Span::seconds, 60},
                               Unit{"h", &Span::seconds, 3600}, Unit{"d", &Span::days, 1},
                               Unit{"w", &Span::days, 7},       Unit{"mo", &Span::months, 1},
                               Unit{"y", &Span::years, 1}};

[[noreturn]] void Refuse(std::string_view what, std::string_view why, std::string_view hint) {
  throw Error(EINVAL, fmt::format("read {}", what), why, hint);
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Removes the digits at the beginning of `text` and returns them; empty: there are none.
std::string_view TakeDigits(std::string_view& text) {
  const auto* const end = std::find_if_not(text.begin(), text.end(), IsDigit);
  const std::string_view digits = text.substr(0, static_cast<size_t>(end - text.begin()));
  text.remove_prefix(digits.size());
  return digits;
}

std::optional<uint64_t> NumberIn(std::string_view digits, uint64_t max) {
  uint64_t number = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, number);
  if (error != std::errc{} || stop != end || number > max) return std::nullopt;
  return number;
}

const Unit& TakeUnit(std::string_view what, std::string_view whole, std::string_view digits,
                     std::string_view& rest) {
  const auto* const end = std::find_if(rest.begin(), rest.end(), IsDigit);
  const std::string_view name = rest.substr(0, static_cast<size_t>(end - rest.begin()));
  rest.remove_prefix(name.size());
  for (const Unit& unit : kUnits) {
    if (unit.name == name) return unit;
  }
  if (name == "m") {
    Refuse(what, fmt::format("{}m may be minutes or months", digits),
           fmt::format("Write {}min or {}mo", digits, digits));
  }
  Refuse(what, fmt::format("'{}' is no length of time", Excerpt(whole, kToldBytesMax)), kUnitsHint);
}

}  // namespace

Span ParseSpan(std::string_view what, std::string_view text) {
  Span span;
  std::string_view rest = text;
  do {
    const std::string_view digits = TakeDigits(rest);
    if (digits.empty()) {
      Refuse(what, fmt::format("'{}' is no length of time", Excerpt(text, kToldBytesMax)),
             kUnitsHint);
    }
    const Unit& unit = TakeUnit(what, text, digits, rest);
    // Seconds in the longest span; the limit prevents overflow.
    constexpr uint64_t kMost = kSpanYearsMax * kDaysPerYear * kSecondsPerDay;
    const auto number = static_cast<int64_t>(NumberIn(digits, kMost).value_or(kMost + 1));
    span.*unit.part += number * unit.factor;
    if (NanosecondsOf(span) > kSpanYearsMax * kDaysPerYear * kSecondsPerDay * kNsPerSecond) {
      Refuse(what, fmt::format("{} years is the most", kSpanYearsMax), {});
    }
  } while (!rest.empty());
  if (span.IsZero()) {
    Refuse(what, fmt::format("'{}' is no time at all", text), "Without a rule: off");
  }
  return span;
}

int64_t TimeBefore(int64_t time_ns, const Span& span) {
  const time_t seconds = time_ns / kNsPerSecond;
  time_t before = seconds;
  if (span.years != 0 || span.months != 0 || span.days != 0) {
    std::tm local{};
    localtime_r(&seconds, &local);
    local.tm_year -= static_cast<int>(span.years);
    local.tm_mon -= static_cast<int>(span.months);
    local.tm_mday -= static_cast<int>(span.days);
    local.tm_isdst = -1;  // DST as of that day
    before = mktime(&local);
  }
  return (before - span.seconds) * kNsPerSecond + time_ns % kNsPerSecond;
}

// Saturates, because a sum of permitted units can overflow.
int64_t NanosecondsOf(const Span& span) {
  const int64_t most = (kSpanYearsMax + 1) * kDaysPerYear;
  const int64_t years = std::min(span.years, most);
  const int64_t months = std::min(span.months, most);
  const int64_t days = std::min(span.days, most);
  const int64_t whole_days = std::min(years * kDaysPerYear + months * kDaysPerMonth + days, most);
  const int64_t seconds = std::min(span.seconds, most * kSecondsPerDay);
  return std::min(whole_days * kSecondsPerDay + seconds, most * kSecondsPerDay) * kNsPerSecond;
}

uint64_t ParseCount(std::string_view what, std::string_view text) {
  std::string_view rest = text;
  const std::string_view digits = TakeDigits(rest);
  if (digits.empty() || !rest.empty()) {
    Refuse(what, fmt::format("'{}' is no whole number", Excerpt(text, kToldBytesMax)),
           fmt::format("Give one from 1 to {}", kCountMax));
  }
  const std::optional<uint64_t> count = NumberIn(digits, kCountMax);
  if (!count || *count == 0) {
    Refuse(what, fmt::format("{} is out of range", Excerpt(text, kToldBytesMax)),
           fmt::format("Give a number from 1 to {}, or off", kCountMax));
  }
  return *count;
}

uint64_t ParsePercent(std::string_view what, std::string_view text, uint64_t max) {
  std::string_view rest = text;
  const std::optional<uint64_t> percent = NumberIn(TakeDigits(rest), max);
  if (percent && *percent > 0 && rest == "%") return *percent;
  Refuse(what, fmt::format("'{}' is no percentage", Excerpt(text, kToldBytesMax)),
         fmt::format("Give one from 1% to {}%, or off", max));
}

DiskShare ParseDiskShare(std::string_view what, std::string_view text, uint64_t percent_max) {
  if (text.ends_with('%')) return {.percent = ParsePercent(what, text, percent_max)};
  if (const auto bytes = ParseByteSize(text)) return {.bytes = *bytes};
  Refuse(what, fmt::format("'{}' is no size", Excerpt(text, kToldBytesMax)),
         "Give it as 500M, 20G or 10%, or off");
}

}  // namespace ckptfs
