// The limit on states that rollbacks keep.
#include <chrono>

#include "catalog/store/store_context.h"

namespace ckptfs {
namespace {

// Candidates examined per step. If programs write to all of these, later ones have to wait.
constexpr size_t kCandidatesMax = 100;

}  // namespace

// One step deletes one state, and holds the workspace for as long as rmdir(2) of that state would. The choice
// is made under that lock, so a state that was just pinned is never deleted. On disk: as for
// Store::DeleteSnapshot. If killed between two steps, the next mount goes on with the rest.
UndoLimitStep Store::LimitUndo(int64_t workspace_id) {
  StoreContext& store = *impl_;
  const auto surplus = [&] {
    return store.catalog->SurplusUndo(workspace_id, store.options.undo_keep, kCandidatesMax);
  };
  // Usually there is nothing to do, and finding that out need not block any operation.
  if (store.IsReadOnly() || surplus().empty()) return {};
  const OperationLocks::Hold hold = store.operations.Lock({workspace_id});
  UndoLimitStep step;
  for (const SnapshotRecord& snapshot : surplus()) {
    const std::chrono::nanoseconds age(store.clock.NowNs() - snapshot.created_ns);
    if (age < store.options.undo_keep_time) {  // as are all after it
      step.wait = store.options.undo_keep_time - age;
      break;
    }
    if (store.unsealed.IsInWriting(snapshot.volume)) {
      step.wait = std::chrono::nanoseconds::max();  // nobody knows how long
      continue;
    }
    DeleteForGood(store, snapshot);
    step.deleted = snapshot;
    break;
  }
  return step;
}

}  // namespace ckptfs
