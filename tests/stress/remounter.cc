#include "tests/stress/remounter.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "tests/stress/program.h"

namespace ckptfs::stress {
namespace {

constexpr int64_t kBetweenMs = 3000;
constexpr int64_t kAttemptsMs = 10000;

}  // namespace

Remounter::Remounter(Board& board, const Settings& settings, int number)
    : board_(board), settings_(settings), desk_(board.desks[static_cast<size_t>(number)]) {
  desk_.pid = getpid();
}

template <typename Function>
int Remounter::Call(Operation operation, const Function& function) {
  const int64_t began_ns = MonotonicNs();
  desk_.operation = operation;
  desk_.began_ns = began_ns;
  const int result = function();
  desk_.began_ns = 0;
  board_.Record(operation, result, MonotonicNs() - began_ns);
  return result;
}

bool Remounter::Wait(int64_t duration_ms) const {
  const int64_t end_ns = MonotonicNs() + duration_ms * 1'000'000;
  while (MonotonicNs() < end_ns && !board_.stop) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return !board_.stop;
}

bool Remounter::Unmount() {
  const int64_t end_ns = MonotonicNs() + kAttemptsMs * 1'000'000;
  while (MonotonicNs() < end_ns && !board_.stop) {
    const int error = Call(Operation::kUnmount, [&] {
      return umount2(settings_.mountpoint.c_str(), UMOUNT_NOFOLLOW) == 0 ? 0 : errno;
    });
    if (error == 0) return true;
    if (!IsAllowed(Operation::kUnmount, error)) {
      board_.Fail(fmt::format("umount: {}", std::strerror(error)));
      return false;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
  return false;
}

void Remounter::Mount() {
  ProgramResult result;
  const int code = Call(Operation::kMount, [&] {
    std::vector<std::string> words = {"ckptfs"};
    if (!settings_.mount_options.empty()) {
      words.emplace_back("-o");
      words.push_back(settings_.mount_options);
    }
    words.push_back(settings_.store);
    words.push_back(settings_.mountpoint);
    result = RunProgram(words, AT_FDCWD);
    return result.exit_code;
  });
  if (code != 0) {
    board_.Fail(fmt::format("ckptfs: exit status {}: {}", code, result.errors));
    board_.stop = true;
  }
}

void Remounter::Run() {
  while (Wait(kBetweenMs)) {
    board_.pause = true;
    if (Unmount()) Mount();
    board_.pause = false;
  }
}

}  // namespace ckptfs::stress
