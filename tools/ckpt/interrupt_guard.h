// Signals that end a program, as a request to give up.
#pragma once

#include <array>
#include <csignal>

namespace ckptfs::cli {

// While it exists, SIGINT, SIGTERM and SIGHUP only set a flag, so that what is half-made can be removed. At most
// one at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  // Whether there has been such a signal.
  static bool WasInterrupted() noexcept;

 private:
  static constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, kSignals.size()> saved_{};
};

}  // namespace ckptfs::cli
