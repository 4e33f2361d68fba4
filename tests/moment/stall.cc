// moment_stall: how long a checkpoint keeps other calls waiting.
//
// One thread for each kind of call makes it over and over; the calls that overlap a checkpoint are
// those that count. Before each checkpoint as much as asked for is written to a file of the same
// workspace, and left dirty. Prints a line for each kind, and one for the checkpoints; times in ms.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"
#include "tests/moment/writer_log.h"

namespace ckptfs::moment {
namespace {

struct Request {
  std::string workspace;
  std::string snapshots;
  int dirty_mib = 0;
  int checkpoints = 10;
  double stall_max_ms = 0;  // 0: none
};

struct Span {
  int64_t start_ns;
  int64_t end_ns;
};

struct Kind {
  const char* name;
  std::function<void()> call;
  std::vector<Span> spans = {};
};

UniqueFd Open(const std::string& path, int flags) {
  return UniqueFd(CheckSyscall(open(path.c_str(), flags | O_CLOEXEC, 0644), "open " + path));
}

void WriteDirty(const Request& request) {
  if (request.dirty_mib == 0) return;
  const UniqueFd fd = Open(request.workspace + "/dirty", O_CREAT | O_WRONLY);
  const std::string block(size_t{1} << 20, 'd');
  for (int i = 0; i < request.dirty_mib; ++i) {
    CheckSyscall(pwrite(fd.get(), block.data(), block.size(), off_t{i} << 20), "write");
  }
}

double Milliseconds(std::vector<int64_t>& sorted, double quantile) {
  if (sorted.empty()) return 0;
  const auto index = static_cast<size_t>(quantile * static_cast<double>(sorted.size() - 1));
  return static_cast<double>(sorted[index]) / 1e6;
}

// Prints the line, and returns the longest in ms.
double Report(const char* name, std::vector<int64_t> durations) {
  std::sort(durations.begin(), durations.end());
  fmt::print("{:<28} {:>8} {:>10.3f} {:>10.3f} {:>10.3f}\n", name, durations.size(),
             Milliseconds(durations, 0.5), Milliseconds(durations, 0.99),
             Milliseconds(durations, 1));
  return Milliseconds(durations, 1);
}

std::vector<int64_t> Overlapping(const std::vector<Span>& calls, const std::vector<Span>& with) {
  std::vector<int64_t> durations;
  for (const Span& call : calls) {
    const bool overlaps = std::any_of(with.begin(), with.end(), [&](const Span& span) {
      return call.start_ns < span.end_ns && span.start_ns < call.end_ns;
    });
    if (overlaps) durations.push_back(call.end_ns - call.start_ns);
  }
  return durations;
}

int Run(const Request& request) {
  const std::string at = request.workspace + "/";
  Open(at + "read", O_CREAT | O_WRONLY);
  CheckSyscall(truncate((at + "read").c_str(), 1 << 20), "make a file to read");
  const UniqueFd log = Open(at + "log", O_CREAT | O_WRONLY | O_APPEND);
  const UniqueFd to_read = Open(at + "read", O_RDONLY);
  std::vector<Kind> kinds = {
      {"create, write, close, rename",
       [&] {
         const UniqueFd fd = Open(at + "fresh", O_CREAT | O_EXCL | O_WRONLY);
         CheckSyscall(write(fd.get(), "0123456789", 10), "write");
         CheckSyscall(rename((at + "fresh").c_str(), (at + "replaced").c_str()), "rename");
       }},
      {"append 10 bytes", [&] { CheckSyscall(write(log.get(), "0123456789", 10), "append"); }},
      {"stat",
       [&] {
         struct stat status {};
         CheckSyscall(stat((at + "read").c_str(), &status), "stat");
       }},
      {"read 4 KiB",
       [&] {
         char buffer[4096];
         CheckSyscall(pread(to_read.get(), buffer, sizeof buffer, 8192), "read");
       }},
  };
  std::atomic<bool> stopped{false};
  std::atomic<bool> failed{false};
  std::vector<std::jthread> threads;
  threads.reserve(kinds.size());
  for (Kind& kind : kinds) {
    threads.emplace_back([&kind, &stopped, &failed] {
      try {
        while (!stopped) {
          const int64_t start = NowNs();
          kind.call();
          kind.spans.push_back({start, NowNs()});
          std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
      } catch (const std::exception& error) {
        fmt::print(stderr, "{}: {}\n", kind.name, error.what());
        failed = true;
      }
    });
  }
  std::vector<Span> checkpoints;
  std::vector<int64_t> took;
  for (int i = 0; i < request.checkpoints; ++i) {
    WriteDirty(request);
    const std::string path = fmt::format("{}/stall-{}-{}", request.snapshots, request.dirty_mib, i);
    const int64_t start = NowNs();
    CheckSyscall(mkdir(path.c_str(), 0755), "mkdir " + path);
    checkpoints.push_back({start, NowNs()});
    took.push_back(checkpoints.back().end_ns - start);
  }
  stopped = true;
  threads.clear();
  fmt::print("{:<28} {:>8} {:>10} {:>10} {:>10}\n", fmt::format("{} MiB dirty", request.dirty_mib),
             "calls", "p50", "p99", "max");
  double longest = 0;
  for (const Kind& kind : kinds) {
    longest = std::max(longest, Report(kind.name, Overlapping(kind.spans, checkpoints)));
  }
  Report("the checkpoint itself", took);
  if (failed) return 2;
  return request.stall_max_ms > 0 && longest > request.stall_max_ms ? 1 : 0;
}

}  // namespace
}  // namespace ckptfs::moment

int main(int argc, char** argv) {
  ckptfs::moment::Request request;
  CLI::App app("How long checkpoints keep other calls waiting");
  app.add_option("--workspace", request.workspace, "A workspace, by its path")->required();
  app.add_option("--snapshots", request.snapshots, "The directory of its snapshots")->required();
  app.add_option("--dirty-mib", request.dirty_mib, "What is dirty at each checkpoint");
  app.add_option("--checkpoints", request.checkpoints, "How many");
  app.add_option("--stall-max-ms", request.stall_max_ms, "Fail if a call took longer");
  CLI11_PARSE(app, argc, argv);
  try {
    return ckptfs::moment::Run(request);
  } catch (const std::exception& error) {
    fmt::print(stderr, "moment_stall: {}\n", error.what());
    return 2;
  }
}
