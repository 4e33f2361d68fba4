// The child processes behind Scouts, as the program sees them that has them.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "backend/base/scouts.h"
#include "backend/base/unique_fd.h"

namespace ckptfs {

constexpr size_t kScoutsMax = 16;

// Where each scout looks at the moment. In memory that all the processes share.
using ScoutPlaces = std::array<std::atomic<uint64_t>, kScoutsMax>;

// What goes to a scout: this, and then `size` bytes. A function has the same address in all of them, which
// are copies of one process.
struct ScoutRequest {
  Scouts::Task task = nullptr;
  uint64_t size = 0;
};

// What comes from it: the size of a report and then that, or how the task ended.
constexpr uint64_t kTaskDone = UINT64_MAX;
constexpr uint64_t kTaskFailed = UINT64_MAX - 1;

struct ScoutProcess {
  uint64_t slot = 0;  // of ScoutPlaces
  pid_t pid = -1;     // that no other process has before this one has ended
  UniqueFd socket;    // it ends when this is closed
  UniqueFd process;   // a pidfd
};

// The process that forks scouts. Its parent's end of the socket between them: it ends when that is closed,
// and all scouts with it.
struct ScoutNursery {
  pid_t pid = -1;
  UniqueFd socket;
};

// Forks it. Throws Error.
ScoutNursery StartScoutNursery(ScoutPlaces& places);
// Orders a scout for a slot that no living one has. False if the nursery is gone.
bool OrderScout(const ScoutNursery& nursery, uint64_t slot);
// One that has been ordered, by whomever; none if none has come before the deadline, or the nursery is gone.
std::optional<ScoutProcess> ReceiveScout(const ScoutNursery& nursery,
                                         Scouts::Clock::time_point deadline);

// How long to wait for that, for poll(2); at least 1.
int MillisecondsUntil(Scouts::Clock::time_point deadline);

}  // namespace ckptfs
