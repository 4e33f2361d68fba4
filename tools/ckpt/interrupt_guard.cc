#include "tools/ckpt/interrupt_guard.h"

#include <cstddef>

namespace ckptfs::cli {
namespace {

volatile std::sig_atomic_t g_interrupted = 0;

}  // namespace

InterruptGuard::InterruptGuard() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_interrupted = 1; };
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &saved_[i]);
}

InterruptGuard::~InterruptGuard() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &saved_[i], nullptr);
}

bool InterruptGuard::WasInterrupted() noexcept { return g_interrupted != 0; }

}  // namespace ckptfs::cli
