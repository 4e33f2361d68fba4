// The limit on the states that rollbacks keep.
#include <chrono>

#include "catalog/store/store_context.h"

namespace ckptfs {
namespace {

// Looked at in one step. If so many are being written to, those behind them wait.
constexpr size_t kCandidatesMax = 100;

}  // namespace

// One step deletes one state, with the workspace held for as long as rmdir(2) of it would. Which one is
// decided meanwhile: never one that was pinned a moment before. On
// disk: as for Store::DeleteSnapshot; killed between two steps, the next mount goes on with what is
// left.
UndoLimitStep Store::LimitUndo(int64_t workspace_id) {
  StoreContext& store = *impl_;
  const auto surplus = [&] {
    return store.catalog->SurplusUndo(workspace_id, store.options.undo_keep, kCandidatesMax);
  };
  // Mostly there is nothing to do, and no operation need wait for that to be found out.
  if (store.IsReadOnly() || surplus().empty()) return {};
  const OperationLocks::Hold hold = store.operations.Lock({workspace_id});
  UndoLimitStep step;
  for (const SnapshotRecord& snapshot : surplus()) {
    const std::chrono::nanoseconds age(store.clock.NowNs() - snapshot.created_ns);
    if (age < store.options.undo_keep_time) {  // and so are all after it
      step.wait = store.options.undo_keep_time - age;
      break;
    }
    if (store.unsealed.IsInWriting(snapshot.volume)) {
      step.wait = std::chrono::nanoseconds::max();  // nobody knows for how long
      continue;
    }
    DeleteForGood(store, snapshot);
    step.deleted = snapshot;
    break;
  }
  return step;
}

}  // namespace ckptfs
