// Complete operations of a store, all phases, on live trees that are not served.
#pragma once

#include "backend/compare/diff_list.h"
#include "catalog/store/store.h"

namespace ckptfs {

inline SnapshotRecord CheckpointWhole(Store& store, int64_t workspace_id,
                                      const CheckpointRequest& request,
                                      const FrozenFacts& facts = {}) {
  const auto pending = store.BeginCheckpoint(workspace_id, request);
  pending->Take(facts);
  return pending->Commit();
}

inline RollbackResult RollBackWhole(Store& store, const RollbackRequest& request,
                                    bool in_writing = false) {
  const auto pending = store.BeginRollback(request);
  pending->KeepsStateBefore(in_writing);
  pending->Commit(0);
  return pending->Finish();
}

inline void RemoveWhole(Store& store, int64_t workspace_id) {
  const auto pending = store.BeginRemoval(workspace_id);
  pending->Commit();
  pending->Finish();
}

inline uint64_t ForgetWhole(Store& store, int64_t workspace_id) {
  const auto pending = store.BeginForgetting(workspace_id);
  pending->Commit();
  pending->Finish();
  return pending->snapshots().size();
}

inline DiffList CompareWhole(Store& store, const DiffRequest& request, WorkLimits& limits) {
  const auto pending = store.BeginComparison(request);
  if (pending->IsOfLiveTree()) pending->CopyLiveTree();
  return pending->Changes(limits);
}

inline bool ChangedSinceParent(Store& store, int64_t workspace_id, WorkLimits& limits) {
  const ParentComparison comparison = store.BeginParentComparison(workspace_id);
  if (!comparison.pending) return comparison.changed;
  comparison.pending->CopyLiveTree();
  return comparison.pending->Differs(limits);
}

}  // namespace ckptfs
