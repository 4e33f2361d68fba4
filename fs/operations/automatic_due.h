// What the daemon has to do by itself, and when.
#pragma once

#include <cstdint>
#include <optional>

#include "catalog/policies/settings.h"

namespace ckptfs {

// The time of day, which can be set, and the time since the machine's start, which cannot and includes suspend
// time. In nanoseconds.
struct Clocks {
  int64_t wall_ns = 0;
  int64_t up_ns = 0;
};

Clocks ReadClocks();

// When something was done last.
struct LastRun {
  std::optional<int64_t> up_ns;    // in this mount
  std::optional<int64_t> wall_ns;  // as recorded, maybe by an earlier mount
};

// Whether `interval_ns` has passed since then. In this mount the uptime decides, so that a clock that is set
// neither stops anything nor makes it run in a loop. Only for a mount's first run does the recorded time count:
// one in the future says that the clock was wrong then or is wrong now, so that the first run is due at once.
bool IsDue(int64_t interval_ns, const LastRun& last, const Clocks& now);

// What was done last for one workspace.
struct AutomaticRunTimes {
  LastRun cleanup;
  std::optional<int64_t> looked_up_ns;  // for changes since the newest checkpoint, in this mount
  std::optional<int64_t> newest_checkpoint_ns;  // its time, whoever made it
};

struct AutomaticDue {
  bool cleanup = false;
  bool checkpoint = false;  // if something has changed
};

AutomaticDue DueNow(const Settings& settings, const AutomaticRunTimes& last, const Clocks& now);

// Finds the snapshots that are old whatever their dates say: those that a clock which is wrong has dated into
// the future would otherwise never get older. Looks at one workspace. Used by one thread.
class SeenLongAgo {
 public:
  // `largest_id` is that of the newest snapshot. Returns the largest id that has been there for at least
  // `age_ns`; 0: not known of any yet. Lags by at most twice that age.
  int64_t Look(int64_t largest_id, int64_t age_ns, int64_t up_ns);

 private:
  int64_t age_ns_ = -1;
  int64_t since_ns_ = 0;  // when `seen_id_` was the largest
  int64_t seen_id_ = 0;
  int64_t old_id_ = 0;
};

}  // namespace ckptfs
