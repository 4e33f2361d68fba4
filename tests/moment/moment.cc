// moment: is a checkpoint under running programs one moment?
//
// Writers, one process each, change files of a workspace in an order that is known, as fast as they
// can, while checkpoints are made by mkdir. Afterwards each checkpoint is compared with what the
// writers did: for each of them there has to be a number of operations after which its files looked
// just so, not fewer than had returned before mkdir was called and not more than had begun when it
// returned; and there has to be one instant that is right for all of them.
//
// Exit status: 0 if every checkpoint is a moment, 1 if one is not, 2 if something failed.
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <thread>
#include <vector>

#include "backend/base/error.h"
#include "tests/moment/check.h"
#include "tests/moment/performer.h"

namespace ckptfs::moment {
namespace {

constexpr uint64_t kOperationsMax = uint64_t{1} << 25;
// A store to memory takes no time. Without a pause a log would hold nothing else.
constexpr std::chrono::microseconds kStorePause{20};

struct Request {
  std::string workspace;
  std::string snapshots;
  std::string case_name = "mixed";
  int writers = 4;
  double seconds = 5;
  int interval_ms = 100;
  uint64_t seed = 1;
};

void Write(const Request& request, WriterLog& log, int writer) {
  const std::string directory =
      request.workspace + "/" + WriterDirectory(request.case_name, writer);
  Sequence sequence(request.case_name, request.seed, writer);
  Performer performer(writer, directory);
  for (uint64_t number = 1; !log.stopped(); ++number) {
    const Operation operation = sequence.Next();
    performer.Prepare(number, operation);
    if (!log.Begin(writer)) return;
    performer.Do(number, operation);
    log.Return(writer);
    if (operation.kind == Kind::kStore) std::this_thread::sleep_for(kStorePause);
  }
}

// The writers' processes. Stops and reaps them at the end of its life.
class Writers {
 public:
  Writers(const Request& request, WriterLog& log) : log_(log) {
    std::fflush(nullptr);
    for (int writer = 0; writer < request.writers; ++writer) {
      const pid_t pid = CheckSyscall(fork(), "start a writer");
      if (pid != 0) {
        pids_.push_back(pid);
        continue;
      }
      int status = 0;
      try {
        Write(request, log, writer);
      } catch (const std::exception& error) {
        fmt::print(stderr, "writer {}, operation {}: {}\n", writer, log.Begun(writer),
                   error.what());
        status = 2;
      }
      std::fflush(nullptr);
      _exit(status);
    }
  }
  ~Writers() { End(); }
  Writers(const Writers&) = delete;
  Writers& operator=(const Writers&) = delete;

  // Returns whether all of them ended well.
  bool End() {
    log_.Stop();
    bool well = true;
    for (const pid_t pid : pids_) {
      int status = 0;
      well &= waitpid(pid, &status, 0) == pid && status == 0;
    }
    pids_.clear();
    return well;
  }

 private:
  WriterLog& log_;
  std::vector<pid_t> pids_;
};

Checkpoint MakeCheckpoint(const Request& request, const WriterLog& log, size_t number) {
  Checkpoint checkpoint{.name = fmt::format("{}-{:04}", request.case_name, number),
                        .returned_before = {},
                        .begun_after = {}};
  for (int writer = 0; writer < log.writers(); ++writer) {
    checkpoint.returned_before.push_back(log.Returned(writer));
  }
  const int64_t start = NowNs();
  const std::string path = request.snapshots + "/" + checkpoint.name;
  CheckSyscall(mkdir(path.c_str(), 0755), "mkdir " + path);
  checkpoint.took_ns = NowNs() - start;
  for (int writer = 0; writer < log.writers(); ++writer) {
    checkpoint.begun_after.push_back(log.Begun(writer));
  }
  return checkpoint;
}

std::vector<Checkpoint> MakeCheckpoints(const Request& request, const WriterLog& log) {
  using Clock = std::chrono::steady_clock;
  const auto interval = std::chrono::milliseconds(request.interval_ms);
  std::vector<Checkpoint> checkpoints;
  auto next = Clock::now() + interval;
  const auto end =
      Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(request.seconds * 1000));
  while (next <= end) {
    std::this_thread::sleep_until(next);
    checkpoints.push_back(MakeCheckpoint(request, log, checkpoints.size() + 1));
    // One that took longer than the interval is followed by the next one at once.
    next = std::max(next + interval, Clock::now());
  }
  return checkpoints;
}

int64_t Quantile(std::vector<int64_t> values, double quantile) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(quantile * static_cast<double>(values.size() - 1))];
}

int Run(const Request& request) {
  for (int writer = 0; writer < request.writers; ++writer) {
    const std::string directory =
        request.workspace + "/" + WriterDirectory(request.case_name, writer);
    CheckSyscall(mkdir(directory.c_str(), 0755), "mkdir " + directory);
  }
  WriterLog log(request.writers, kOperationsMax);
  Writers writers(request, log);
  const std::vector<Checkpoint> checkpoints = MakeCheckpoints(request, log);
  if (!writers.End()) return 2;

  const size_t broken = CountBroken(
      {.case_name = request.case_name, .seed = request.seed, .snapshots = request.snapshots}, log,
      checkpoints);
  std::vector<int64_t> took;
  uint64_t window = 0;
  uint64_t operations = 0;
  for (const Checkpoint& checkpoint : checkpoints) {
    took.push_back(checkpoint.took_ns);
    for (size_t writer = 0; writer < checkpoint.begun_after.size(); ++writer) {
      window += checkpoint.begun_after[writer] - checkpoint.returned_before[writer];
    }
  }
  for (int writer = 0; writer < log.writers(); ++writer) operations += log.Returned(writer);
  fmt::print(
      "{}: {} of {} checkpoints are no moment; {} operations, {:.1f} a writer during a mkdir; "
      "mkdir took {:.1f} ms p50, {:.1f} ms max\n",
      request.case_name, broken, checkpoints.size(), operations,
      static_cast<double>(window) /
          static_cast<double>(std::max<size_t>(1, checkpoints.size() * request.writers)),
      static_cast<double>(Quantile(took, 0.5)) / 1e6, static_cast<double>(Quantile(took, 1)) / 1e6);
  return broken == 0 && !checkpoints.empty() ? 0 : 1;
}

}  // namespace
}  // namespace ckptfs::moment

int main(int argc, char** argv) {
  using ckptfs::moment::Sequence;
  ckptfs::moment::Request request;
  bool list = false;
  CLI::App app("Writers of a known order under checkpoints, each of which has to be one moment");
  app.add_flag("--list", list, "Print the cases");
  app.add_option("--workspace", request.workspace, "A workspace, by its path");
  app.add_option("--snapshots", request.snapshots, "The directory of its snapshots");
  app.add_option("--case", request.case_name, "What the writers do");
  app.add_option("--writers", request.writers, "How many writers");
  app.add_option("--seconds", request.seconds, "How long");
  app.add_option("--interval-ms", request.interval_ms, "The time between two checkpoints");
  app.add_option("--seed", request.seed, "Decides the order, with the case");
  CLI11_PARSE(app, argc, argv);
  if (list) {
    for (const std::string& name : Sequence::Cases()) fmt::print("{}\n", name);
    return 0;
  }
  try {
    return ckptfs::moment::Run(request);
  } catch (const std::exception& error) {
    fmt::print(stderr, "moment: {}\n", error.what());
    return 2;
  }
}
