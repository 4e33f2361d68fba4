// The shared state of the processes of a stress run.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "tests/stress/operations.h"

namespace ckptfs::stress {

int64_t MonotonicNs();

// What one process is doing, for the watchdog. Written only by that process; a reader may see text of two
// calls mixed, but the text is only printed.
struct Desk {
  static constexpr size_t kMaxText = 120;

  std::atomic<pid_t> pid{0};
  std::atomic<int64_t> began_ns{0};  // when its current call began; 0: no call
  std::atomic<Operation> operation{Operation::kCount};
  std::array<char, kMaxText> text{};
};

// Shared memory of all processes of a run. Any process may write any of it.
struct Board {
  static constexpr int kMaxWorkers = 64;
  static constexpr int kMaxResult = 140;  // above every errno; the last counts larger ones

  struct Count {
    std::array<std::atomic<uint64_t>, kMaxResult> by_result{};
    std::atomic<int64_t> longest_ns{0};
  };

  std::array<Desk, kMaxWorkers> desks;
  std::array<Count, static_cast<size_t>(Operation::kCount)> counts;
  std::atomic<uint64_t> failures{0};
  std::atomic<bool> stop{false};
  // A process wants to unmount: those that hold files and directories close them and wait.
  std::atomic<bool> pause{false};

  // In shared memory, for the life of the process.
  static Board& Make();

  void Record(Operation operation, int result, int64_t took_ns);
  // Prints the error on stderr, for the first few errors, and counts it.
  void Fail(std::string_view sentence);
  // How many of 1,000 path-walking calls ended with ESTALE, and how many per 1,000 rollbacks.
  struct StaleWalks {
    double per_mille_walks = 0;
    double per_mille_rollbacks = 0;
  };
  StaleWalks CountStaleWalks() const;
  // Prints a table of the calls, their results and their longest duration.
  void Print() const;
};

}  // namespace ckptfs::stress
