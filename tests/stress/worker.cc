#include "tests/stress/worker.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

namespace ckptfs::stress {
namespace {

constexpr int kBurst = 64;
constexpr std::chrono::milliseconds kPausePoll{1};

}  // namespace

Worker::Worker(Board& board, const Settings& settings, int number, bool is_hasty)
    : board_(board),
      settings_(settings),
      number_(number),
      is_hasty_(is_hasty),
      random_(settings.seed + static_cast<uint64_t>(number)) {
  board_.desks[static_cast<size_t>(number)].pid = getpid();
}

void Worker::Run() {
  while (!board_.stop) {
    if (board_.pause && !is_hasty_) LetGo();
    if ((board_.pause && !is_hasty_) || !EnterMount()) {
      std::this_thread::sleep_for(kPausePoll);
      continue;
    }
    const int burst = is_hasty_ && board_.pause ? 1 : kBurst;
    for (int i = 0; i < burst && !board_.stop && (is_hasty_ || !board_.pause); ++i) Step();
    root_.Reset();
    // A moment in which it holds nothing.
    if (is_hasty_) std::this_thread::sleep_for(std::chrono::microseconds(Random(3000)));
  }
  LetGo();
}

bool Worker::EnterMount() {
  struct stat above {};
  struct stat here {};
  root_.Reset(open(settings_.mountpoint.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const bool opened = root_.valid() && fstat(root_.get(), &here) == 0 &&
                      stat((settings_.mountpoint + "/..").c_str(), &above) == 0;
  if (!opened) {
    board_.Fail(fmt::format("the mount point: {}", std::strerror(errno)));
    board_.stop = true;
  }
  if (opened && here.st_dev != above.st_dev) return true;
  root_.Reset();
  return false;
}

int64_t Worker::Begin(Operation operation, std::string_view what) {
  Desk& desk = board_.desks[static_cast<size_t>(number_)];
  const size_t size = std::min(what.size(), Desk::kMaxText - 1);
  std::copy_n(what.data(), size, desk.text.data());
  desk.text[size] = '\0';
  desk.operation = operation;
  const int64_t now_ns = MonotonicNs();
  desk.began_ns = now_ns;
  return now_ns;
}

void Worker::End(Operation operation, std::string_view what, int64_t began_ns, int result) {
  board_.desks[static_cast<size_t>(number_)].began_ns = 0;
  board_.Record(operation, result, MonotonicNs() - began_ns);
  if (IsAllowed(operation, result)) return;
  const Rule& rule = RuleOf(operation);
  board_.Fail(fmt::format(
      "{} ({}): {}", rule.name, what,
      rule.is_exit_code ? fmt::format("exit status {}", result) : std::strerror(result)));
}

std::string Worker::AnyWorkspace() {
  // Half of all that happens happens to one.
  static constexpr char kNames[] = "aaaaabcdef";
  return std::string(1, kNames[Random(sizeof(kNames) - 1)]);
}

std::string Worker::AnySnapshot() { return fmt::format("s{}", Random(6)); }

}  // namespace ckptfs::stress
