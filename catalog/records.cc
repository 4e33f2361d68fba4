#include "catalog/records.h"

namespace ckptfs {

const char* ToString(SnapshotKind kind) {
  return kind == SnapshotKind::kManual ? "manual" : "pre-rollback";
}

const char* ToString(SnapshotState state) { return state == SnapshotState::kOk ? "ok" : "missing"; }

}  // namespace ckptfs
