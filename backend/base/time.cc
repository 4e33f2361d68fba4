#include "backend/base/time.h"

#include <fmt/format.h>

#include <ctime>

namespace ckptfs {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

std::tm UtcOf(int64_t time_ns) {
  const time_t seconds = static_cast<time_t>(
      time_ns >= 0 ? time_ns / kNsPerSecond : (time_ns - (kNsPerSecond - 1)) / kNsPerSecond);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return utc;
}

}  // namespace

int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * kNsPerSecond + now.tv_nsec;
}

std::string FormatRfc3339(int64_t time_ns) {
  const std::tm utc = UtcOf(time_ns);
  const int64_t fraction = ((time_ns % kNsPerSecond) + kNsPerSecond) % kNsPerSecond;
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, fraction);
}

std::optional<int64_t> ParseRfc3339(std::string_view text) {
  const std::string copy(text);
  std::tm utc{};
  const char* rest = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
  if (rest == nullptr) return std::nullopt;
  int64_t fraction = 0;
  if (*rest == '.') {
    int64_t scale = kNsPerSecond;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest) {
      if (scale == 1) return std::nullopt;
      scale /= 10;
      fraction += (*rest - '0') * scale;
    }
    if (scale == kNsPerSecond) return std::nullopt;
  }
  if (rest[0] != 'Z' || rest[1] != '\0') return std::nullopt;
  int64_t time_ns = 0;
  if (__builtin_mul_overflow(int64_t{timegm(&utc)}, kNsPerSecond, &time_ns) ||
      __builtin_add_overflow(time_ns, fraction, &time_ns)) {
    return std::nullopt;  // not representable
  }
  return time_ns;
}

std::string FormatForName(int64_t time_ns) {
  const std::tm utc = UtcOf(time_ns);
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

std::optional<int64_t> ParseNameTime(std::string_view text) {
  const std::string copy(text);
  std::tm utc{};
  const char* rest = strptime(copy.c_str(), "%Y%m%dT%H%M%SZ", &utc);
  if (rest == nullptr || *rest != '\0') return std::nullopt;
  const int64_t time_ns = int64_t{timegm(&utc)} * kNsPerSecond;
  return FormatForName(time_ns) == text ? std::optional(time_ns) : std::nullopt;
}

}  // namespace ckptfs
