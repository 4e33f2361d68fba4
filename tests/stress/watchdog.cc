#include "tests/stress/watchdog.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace ckptfs::stress {
namespace {

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// What the kernel tells of each thread: it needs no debugger, which may not be there.
void PrintThreads(pid_t pid) {
  const std::filesystem::path tasks = fmt::format("/proc/{}/task", pid);
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    fmt::print(stderr, "  thread {} ", task.path().filename().string());
    for (const char* name : {"comm", "wchan", "syscall", "stack"}) {
      fmt::print(stderr, "{}: {} ", name, ReadAll(task.path() / name));
    }
    fmt::print(stderr, "\n");
  }
  if (error) fmt::print(stderr, "  {}: {}\n", tasks.string(), error.message());
}

}  // namespace

bool ReportHungCalls(const Board& board, int64_t longest_ns, const std::string& store) {
  bool found = false;
  for (const Desk& desk : board.desks) {
    const int64_t began_ns = desk.began_ns;
    if (began_ns == 0 || MonotonicNs() - began_ns < longest_ns) continue;
    found = true;
    fmt::print(stderr, "HUNG: process {} for {:.1f} s in: {} ({})\n", desk.pid.load(),
               static_cast<double>(MonotonicNs() - began_ns) / 1e9, RuleOf(desk.operation).name,
               desk.text.data());
    PrintThreads(desk.pid);
  }
  if (!found) return false;
  pid_t daemon = 0;
  std::ifstream(store + "/lock") >> daemon;
  fmt::print(stderr, "the daemon, process {}:\n", daemon);
  PrintThreads(daemon);
  return true;
}

}  // namespace ckptfs::stress
