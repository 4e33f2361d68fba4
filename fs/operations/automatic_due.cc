#include "fs/operations/automatic_due.h"

#include <time.h>

#include "backend/base/time.h"

namespace ckptfs {

Clocks ReadClocks() {
  timespec up{};
  clock_gettime(CLOCK_BOOTTIME, &up);
  return {.wall_ns = NowNs(), .up_ns = up.tv_sec * int64_t{1'000'000'000} + up.tv_nsec};
}

bool IsDue(int64_t interval_ns, const LastRun& last, const Clocks& now) {
  if (last.up_ns) return now.up_ns - *last.up_ns >= interval_ns;
  if (!last.wall_ns || *last.wall_ns > now.wall_ns) return true;
  return now.wall_ns - *last.wall_ns >= interval_ns;
}

AutomaticDue DueNow(const Settings& settings, const AutomaticRunTimes& last, const Clocks& now) {
  AutomaticDue due;
  if (settings.IsOn(kCleanupAuto)) {
    due.cleanup = IsDue(settings.SpanNs(kCleanupInterval).value(), last.cleanup, now);
  }
  if (const std::optional<int64_t> schedule_ns = settings.SpanNs(kSchedule)) {
    // A checkpoint that somebody else has made serves as well.
    due.checkpoint = IsDue(*schedule_ns, {.up_ns = last.looked_up_ns, .wall_ns = {}}, now) &&
                     IsDue(*schedule_ns, {.up_ns = {}, .wall_ns = last.newest_checkpoint_ns}, now);
  }
  return due;
}

int64_t SeenLongAgo::Look(int64_t largest_id, int64_t age_ns, int64_t up_ns) {
  if (age_ns > age_ns_) {
    old_id_ = 0;
  } else if (up_ns - since_ns_ < age_ns) {
    return old_id_;
  } else {
    old_id_ = seen_id_;
  }
  age_ns_ = age_ns;
  seen_id_ = largest_id;
  since_ns_ = up_ns;
  return old_id_;
}

}  // namespace ckptfs
