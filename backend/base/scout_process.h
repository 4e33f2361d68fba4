// The child processes behind Scouts, as seen by the program that uses them.
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

// Where each scout is looking. In memory shared by all the processes.
using ScoutPlaces = std::array<std::atomic<uint64_t>, kScoutsMax>;

// The message to a scout: this, followed by `size` bytes. A function has the same address in all the
// processes, since they are forks of one.
struct ScoutRequest {
  Scouts::Task task = nullptr;
  uint64_t size = 0;
};

// The messages from a scout: the size of a report followed by the report, or how the task ended.
constexpr uint64_t kTaskDone = UINT64_MAX;
constexpr uint64_t kTaskFailed = UINT64_MAX - 1;

struct ScoutProcess {
  uint64_t slot = 0;  // of ScoutPlaces
  pid_t pid = -1;     // not reused while this process exists
  UniqueFd socket;    // closing it ends the scout
  UniqueFd process;   // a pidfd
};

// The process that forks scouts. Holds the parent's end of the socket: closing it ends the process and all
// scouts.
struct ScoutNursery {
  pid_t pid = -1;
  UniqueFd socket;
};

// Forks the nursery. Throws Error.
ScoutNursery StartScoutNursery(ScoutPlaces& places);
// Orders a scout for a slot without a living one. False if the nursery is gone.
bool OrderScout(const ScoutNursery& nursery, uint64_t slot);
// A scout ordered by any caller; empty if none came before the deadline, or if the nursery is gone.
std::optional<ScoutProcess> ReceiveScout(const ScoutNursery& nursery,
                                         Scouts::Clock::time_point deadline);

// The timeout for poll(2) until the deadline; at least 1.
int MillisecondsUntil(Scouts::Clock::time_point deadline);

}  // namespace ckptfs
