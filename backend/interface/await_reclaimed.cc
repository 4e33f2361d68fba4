#include "backend/interface/await_reclaimed.h"

#include <algorithm>
#include <thread>

namespace ckptfs {
namespace {

constexpr std::chrono::milliseconds kFirstReclaimPause{20};

}  // namespace

void AwaitReclaimed(const Backend& backend, std::chrono::milliseconds max,
                    std::chrono::milliseconds pause_max, const std::function<bool()>& goes_on) {
  const auto deadline = std::chrono::steady_clock::now() + max;
  auto pause = kFirstReclaimPause;
  while (!goes_on || goes_on()) {
    const bool waiting = backend.PendingDestroys() > 0;
    backend.Reclaim();
    if (!waiting || std::chrono::steady_clock::now() >= deadline) return;
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, pause_max);
  }
}

}  // namespace ckptfs
