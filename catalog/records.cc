#include "catalog/records.h"

namespace ckptfs {

const char* ToString(SnapshotKind kind) {
  return kind == SnapshotKind::kManual ? "manual" : "pre-rollback";
}

const char* ToString(SnapshotState state) { return state == SnapshotState::kOk ? "ok" : "missing"; }

const char* ToString(SnapshotMoment moment) {
  switch (moment) {
    case SnapshotMoment::kOne:
      return "one";
    case SnapshotMoment::kCrashConsistent:
      return "crash-consistent";
    case SnapshotMoment::kUnknown:
      break;
  }
  return "unknown";
}

SnapshotMoment MomentFrom(std::string_view text) {
  for (const SnapshotMoment moment : {SnapshotMoment::kOne, SnapshotMoment::kCrashConsistent}) {
    if (text == ToString(moment)) return moment;
  }
  return SnapshotMoment::kUnknown;
}

}  // namespace ckptfs
