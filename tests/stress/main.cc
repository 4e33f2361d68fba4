// ckptfs_stress: all operations of a mount, raced against each other.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "backend/base/error.h"
#include "tests/stress/file_worker.h"
#include "tests/stress/remounter.h"
#include "tests/stress/verb_worker.h"
#include "tests/stress/watchdog.h"

namespace ckptfs::stress {
namespace {

struct Run {
  Settings settings;
  int verb_workers = 8;
  int file_workers = 4;
  int64_t duration_s = 20;
  int64_t call_max_s = 30;
};

// Processes of a run; killed at its end if they have not ended.
class Processes {
 public:
  Processes() = default;
  ~Processes() {
    for (const pid_t pid : pids_) kill(pid, SIGKILL);
  }
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  void Start(const std::function<void()>& body) {
    const pid_t pid = CheckSyscall(fork(), "start a worker");
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      body();
      fflush(nullptr);
      _exit(0);
    }
    pids_.push_back(pid);
  }

  // Takes note of those that have ended; false if one did so badly.
  bool Reap() {
    bool good = true;
    for (auto pid = pids_.begin(); pid != pids_.end();) {
      int status = 0;
      if (waitpid(*pid, &status, WNOHANG) != *pid) {
        ++pid;
        continue;
      }
      if (status != 0) {
        fmt::print(stderr, "FAILED: process {} ended with status {:#x}\n", *pid, status);
        good = false;
      }
      pid = pids_.erase(pid);
    }
    return good;
  }

  bool empty() const noexcept { return pids_.empty(); }

 private:
  std::vector<pid_t> pids_;
};

void StartAll(const Run& run, Board& board, Processes& processes) {
  int number = 0;
  for (int i = 0; i < run.verb_workers; ++i, ++number) {
    // One does not wait while somebody unmounts.
    processes.Start([&, number] { VerbWorker(board, run.settings, number, number == 0).Run(); });
  }
  for (int i = 0; i < run.file_workers; ++i, ++number) {
    processes.Start([&, number] { FileWorker(board, run.settings, number, false).Run(); });
  }
  if (run.settings.remount) {
    processes.Start([&, number] { Remounter(board, run.settings, number).Run(); });
  }
}

// Of calls that walk a path while all rollbacks are in place. Where the machine is slow, a walk meets more
// rollbacks: so both have to be passed.
constexpr double kStalePerMilleWalksMax = 1;
constexpr double kStalePerMilleRollbacksMax = 100;

// True if all went well.
bool Watch(const Run& run, Board& board, Processes& processes) {
  const int64_t end_ns = MonotonicNs() + run.duration_s * 1'000'000'000;
  bool good = true;
  while (!processes.empty()) {
    if (MonotonicNs() > end_ns) board.stop = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    good &= processes.Reap();
    if (ReportHungCalls(board, run.call_max_s * 1'000'000'000, run.settings.store)) return false;
  }
  const Board::StaleWalks stale = board.CountStaleWalks();
  if (!run.settings.by_name && stale.per_mille_walks > kStalePerMilleWalksMax &&
      stale.per_mille_rollbacks > kStalePerMilleRollbacksMax) {
    board.Fail(
        fmt::format("{:.2f} of 1,000 path walks ended with ESTALE ({:.0f} for 1,000 "
                    "rollbacks), although all rollbacks were in place",
                    stale.per_mille_walks, stale.per_mille_rollbacks));
  }
  return good && board.failures == 0;
}

int Main(int count, char** words) {
  Run run;
  run.settings.seed = std::random_device{}();
  CLI::App app("Races all operations of a ckptfs mount against each other");
  app.add_option("store", run.settings.store, "The store, which is mounted")->required();
  app.add_option("mountpoint", run.settings.mountpoint, "Where it is mounted, as a full path")
      ->required();
  app.add_option("--seconds", run.duration_s, "How long");
  app.add_option("--seed", run.settings.seed, "Of all that is done by chance");
  app.add_option("--verb-workers", run.verb_workers, "Processes that checkpoint, roll back, ...");
  app.add_option("--file-workers", run.file_workers, "Processes that work with files");
  app.add_option("--call-max", run.call_max_s, "Seconds that a call may take");
  app.add_option("--mount-options", run.settings.mount_options, "For mounting it anew");
  app.add_flag("!--no-ckpt", run.settings.use_ckpt, "Do without ckpt");
  app.add_flag("!--no-remount", run.settings.remount, "Do not unmount");
  app.add_flag("!--in-place", run.settings.by_name, "Roll back only in place");
  CLI11_PARSE(app, count, words);
  if (run.verb_workers + run.file_workers + 1 > Board::kMaxWorkers) return 2;

  fmt::print("seed {}\n", run.settings.seed);
  fflush(stdout);
  Board& board = Board::Make();
  Processes processes;
  StartAll(run, board, processes);
  const bool good = Watch(run, board, processes);
  board.Print();
  fmt::print("{} failures, seed {}\n", board.failures.load(), run.settings.seed);
  return good ? 0 : 1;
}

}  // namespace
}  // namespace ckptfs::stress

int main(int count, char** words) {
  try {
    return ckptfs::stress::Main(count, words);
  } catch (const std::exception& error) {
    fmt::print(stderr, "ckptfs_stress: {}\n", error.what());
    return 1;
  }
}
