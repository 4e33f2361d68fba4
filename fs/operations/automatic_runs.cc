#include "fs/operations/automatic_runs.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

namespace ckptfs {
namespace {

constexpr std::chrono::seconds kLookInterval{1};
constexpr int64_t kUnhealthyNs = int64_t{15} * 1'000'000'000;

}  // namespace

AutomaticRuns::AutomaticRuns(Verbs& verbs)
    : verbs_(verbs),
      checkpoints_(verbs),
      cleanup_(verbs),
      frequent_(kLookInterval,
                [this] {
                  checkpoints_.Look();
                  LookAtHealth();
                  return true;
                }),
      cleaner_(kLookInterval, [this] {
        cleanup_.Look();
        return true;
      }) {}

void AutomaticRuns::Begin() {
  frequent_.Wake();
  cleaner_.Wake();
}

void AutomaticRuns::LookAtHealth() noexcept {
  try {
    std::optional<int64_t> interval_ns =
        verbs_.store().SettingsFor(std::nullopt).SpanNs(kHealthInterval);
    if (!interval_ns) return;
    // Whoever has done something about it wants to see that.
    if (!verbs_.store().KnownHealth().empty()) interval_ns = std::min(*interval_ns, kUnhealthyNs);
    const Clocks now = ReadClocks();
    if (!IsDue(*interval_ns, {.up_ns = health_up_ns_, .wall_ns = {}}, now)) return;
    health_up_ns_ = now.up_ns;
    verbs_.store().LookAtHealth();
  } catch (const std::exception& error) {
    spdlog::warn("look at the store's health: {}", error.what());
  }
}

}  // namespace ckptfs
