// What the processes of a stress run know of each other.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "tests/stress/operations.h"

namespace ckptfs::stress {

int64_t MonotonicNs();

// What one process is doing, for the watchdog. Written by that process alone; a reader may see text
// of two calls mixed, which is only ever printed.
struct Desk {
  static constexpr size_t kMaxText = 120;

  std::atomic<pid_t> pid{0};
  std::atomic<int64_t> began_ns{0};  // of the call it is in; 0: in none
  std::atomic<Operation> operation{Operation::kCount};
  std::array<char, kMaxText> text{};
};

// Lives in memory that all processes of a run share. Anybody may write anything.
struct Board {
  static constexpr int kMaxWorkers = 64;
  static constexpr int kMaxResult = 140;  // above every errno; the last one stands for all above

  struct Count {
    std::array<std::atomic<uint64_t>, kMaxResult> by_result{};
    std::atomic<int64_t> longest_ns{0};
  };

  std::array<Desk, kMaxWorkers> desks;
  std::array<Count, static_cast<size_t>(Operation::kCount)> counts;
  std::atomic<uint64_t> failures{0};
  std::atomic<bool> stop{false};
  // Somebody wants to unmount: those that hold files and directories let go and wait.
  std::atomic<bool> pause{false};

  // In shared memory, for the life of the process.
  static Board& Make();

  void Record(Operation operation, int result, int64_t took_ns);
  // Says what was wrong, on stderr, the first few times; counts it.
  void Fail(std::string_view sentence);
  // How many calls that walk a path ended with ESTALE, of 1,000 of them, and of 1,000 rollbacks.
  struct StaleWalks {
    double per_mille_walks = 0;
    double per_mille_rollbacks = 0;
  };
  StaleWalks CountStaleWalks() const;
  // The table of what was done, how it ended and how long it took at most.
  void Print() const;
};

}  // namespace ckptfs::stress
