#include "tests/stress/board.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <numeric>
#include <string>

#include "backend/base/error.h"

namespace ckptfs::stress {
namespace {

constexpr uint64_t kFailuresShown = 30;

std::string NameOfResult(Operation operation, int result) {
  if (result == 0) return "ok";
  if (RuleOf(operation).is_exit_code) return fmt::format("exit {}", result);
  const char* name = strerrorname_np(result);
  return name != nullptr ? name : fmt::format("errno {}", result);
}

}  // namespace

int64_t MonotonicNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Board& Board::Make() {
  void* memory = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                      /*fd=*/-1, /*offset=*/0);
  if (memory == MAP_FAILED) ThrowErrno("map the memory that the processes share");
  return *new (memory) Board;
}

void Board::Record(Operation operation, int result, int64_t took_ns) {
  Count& count = counts[static_cast<size_t>(operation)];
  ++count.by_result[static_cast<size_t>(std::clamp(result, 0, kMaxResult - 1))];
  int64_t longest = count.longest_ns;
  while (took_ns > longest && !count.longest_ns.compare_exchange_weak(longest, took_ns)) {
  }
}

void Board::Fail(std::string_view sentence) {
  if (++failures > kFailuresShown) return;
  const std::string line = fmt::format("FAILED: [{}] {}\n", getpid(), sentence);
  // One write: lines of several processes must not mix.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

Board::StaleWalks Board::CountStaleWalks() const {
  uint64_t stale = 0;
  uint64_t all = 0;
  uint64_t rollbacks = 0;
  for (const Operation rollback : {Operation::kRollbackLive, Operation::kExchange,
                                   Operation::kCkptRollback, Operation::kCkptRollbackForce}) {
    rollbacks += counts[static_cast<size_t>(rollback)].by_result[0];
  }
  for (size_t i = 0; i < counts.size(); ++i) {
    if (!WalksAPath(static_cast<Operation>(i))) continue;
    stale += counts[i].by_result[ESTALE];
    all += std::accumulate(counts[i].by_result.begin(), counts[i].by_result.end(), uint64_t{0});
  }
  const auto per_mille = [stale](uint64_t whole) {
    return whole == 0 ? 0 : 1000.0 * static_cast<double>(stale) / static_cast<double>(whole);
  };
  return {.per_mille_walks = per_mille(all), .per_mille_rollbacks = per_mille(rollbacks)};
}

void Board::Print() const {
  for (size_t i = 0; i < counts.size(); ++i) {
    const auto operation = static_cast<Operation>(i);
    std::string results;
    for (int result = 0; result < kMaxResult; ++result) {
      const uint64_t count = counts[i].by_result[static_cast<size_t>(result)];
      if (count != 0) results += fmt::format("  {} {}", NameOfResult(operation, result), count);
    }
    if (results.empty()) results = "  never";
    fmt::print("{:34} longest {:7.1f} ms {}\n", RuleOf(operation).name,
               static_cast<double>(counts[i].longest_ns) / 1e6, results);
  }
}

}  // namespace ckptfs::stress
