// Sets another time zone during a test.
#pragma once

#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>

namespace ckptfs {

// In POSIX form, so no time zone database is needed.
inline constexpr char kBerlin[] = "CET-1CEST,M3.5.0,M10.5.0/3";
inline constexpr char kNewYork[] = "EST5EDT,M3.2.0,M11.1.0";
inline constexpr char kTokyo[] = "JST-9";
inline constexpr char kUtc[] = "UTC0";

// Used by one thread, while no other requests local times.
class InTimeZone {
 public:
  explicit InTimeZone(const std::string& zone) {
    if (const char* before = std::getenv("TZ")) before_ = before;
    setenv("TZ", zone.c_str(), 1);
    tzset();
  }
  ~InTimeZone() {
    if (before_) {
      setenv("TZ", before_->c_str(), 1);
    } else {
      unsetenv("TZ");
    }
    tzset();
  }
  InTimeZone(const InTimeZone&) = delete;
  InTimeZone& operator=(const InTimeZone&) = delete;

 private:
  std::optional<std::string> before_;
};

}  // namespace ckptfs
