// The request that removes what nothing refers to.
#include <chrono>

#include "backend/base/low_priority.h"
#include "backend/base/time.h"
#include "fs/control/control_requests.h"
#include "fs/control/item_sender.h"

namespace ckptfs::control {
namespace {

using wire::Json;

const char* ToString(GarbageKind kind) {
  switch (kind) {
    case GarbageKind::kVolume:
      return "volume";
    case GarbageKind::kSidecar:
      return "sidecar";
    case GarbageKind::kFile:
      return "file";
    case GarbageKind::kTemplate:
      return "template";
    case GarbageKind::kCatalog:
      break;
  }
  return "catalog";
}

Json ToJson(const GarbageOutcome& outcome) {
  const GarbageItem& item = outcome.item;
  Json reasons = Json::array({item.reason});
  if (!outcome.spared.empty()) reasons.push_back(outcome.spared);
  return Json{{"name", item.name},
              {"kind", ToString(item.kind)},
              {"action", outcome.spared.empty() ? "remove" : "keep"},
              {"bytes", item.bytes},
              {"changed", FormatRfc3339(item.changed_ns)},
              {"age_seconds", std::chrono::duration_cast<std::chrono::seconds>(
                                  std::chrono::nanoseconds(item.age_ns))
                                  .count()},
              {"reasons", std::move(reasons)},
              {"error", outcome.error.empty() ? Json() : Json(outcome.error)}};
}

}  // namespace

Json Gc(const Request& request) {
  const bool dry_run = request.Flag("dry_run", false);
  request.Require(Right::kManageStore);
  if (!dry_run || request.caller.workspace_id) request.RequireChangesToMount();
  const LowPriority low;
  ItemSender sender(request.answer);
  const GarbageTotal total =
      request.store().CollectGarbage({.dry_run = dry_run}, [&](const GarbageOutcome& outcome) {
        sender.Add(ToJson(outcome), outcome.item.name.size());
        return !request.answer.IsAbandoned();
      });
  sender.Flush();
  const uint64_t returned = dry_run ? 0 : request.store().backend().ReturnFreedBlocks();
  return Json{{"removed", total.removed},
              {"failed", total.failed},
              {"removed_bytes", total.bytes},
              {"returned_bytes", returned}};
}

Json GarbageForDf(const Request& request) {
  if (!request.MayManageStore()) return nullptr;
  const LowPriority low;
  const GarbageTotal total = request.store().CollectGarbage({.dry_run = true});
  return Json{{"items", total.removed}, {"bytes", total.bytes}};
}

}  // namespace ckptfs::control
