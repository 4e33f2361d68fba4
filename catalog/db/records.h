// The catalog's contents, as values.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/uuid.h"

namespace ckptfs {

// --- Valid values --------------------------------------------------------------------------------
//
// Rows and sidecars come from stores that others may have made. Everything read is checked against these
// limits, and everything written stays within them, so the rest of the program need not check again.

// The year 2240. The kernel's clock can be set from 1970 to 2232. With later times, incrementing could
// overflow.
inline constexpr int64_t kTimeNsMax = int64_t{8'520'336'000} * 1'000'000'000;
// Limit for times from sidecars: later times are counted from them, a nanosecond each.
inline constexpr int64_t kNotedTimeNsMax = kTimeNsMax - int64_t{1'000'000} * 1'000'000'000;
// Limit for sidecars and the like; leaves room to count on.
inline constexpr uint64_t kMaxGeneration = uint64_t{1} << 61;
inline constexpr int64_t kMaxRowId = int64_t{1} << 53;
inline constexpr size_t kMaxMessageBytes = size_t{64} << 10;
inline constexpr size_t kMaxMetadataBytes = size_t{64} << 10;
inline constexpr size_t kMaxXattrBytes = size_t{64} << 10;  // XATTR_SIZE_MAX and XATTR_LIST_MAX

// A workspace: a name and the writable volume that is its live state.
struct WorkspaceRecord {
  int64_t id = 0;
  std::string name;
  VolumeId volume;
  int64_t created_ns = 0;
  // The high part of st_ino of everything in the live tree (catalog/db/view_numbers.h). Never changes.
  uint64_t view = 0;
  // The snapshot from which the live state derives: the newest checkpoint of it, or the one it was rolled
  // back to or forked from.
  std::optional<int64_t> parent_id;
  // The volume's change marker at the time when it was equal to that snapshot.
  uint64_t parent_marker = 0;
};

// What `ls -l` shows of a snapshot's directory; kept here so that it opens no volume.
struct RootAttributes {
  mode_t mode = 0;  // with the file type bits
  uid_t uid = 0;
  gid_t gid = 0;
  std::string acl;  // system.posix_acl_access as from getxattr; empty: none
  // Names of all extended attributes, in the format of listxattr(2) (each terminated by NUL).
  std::string xattr_names;
};

// For a new directory (with permissions `mode`, umask applied) that a user makes in another. As in any
// filesystem, a parent with the set-group-id bit passes on that bit and its group.
inline RootAttributes NewDirectoryBelow(const RootAttributes& above, mode_t mode, uid_t uid,
                                        gid_t gid) {
  const bool inherits = (above.mode & S_ISGID) != 0;
  return {.mode = S_IFDIR | (mode & 07777) | (inherits ? S_ISGID : 0),
          .uid = uid,
          .gid = inherits ? above.gid : gid,
          .acl = {},
          .xattr_names = {}};
}

// kScheduled: a checkpoint that the daemon made by itself.
enum class SnapshotKind { kManual, kPreRollback, kScheduled };
enum class SnapshotState { kOk, kMissing };

// Whether a snapshot is one consistent point in time of all that programs wrote while it was made.
enum class SnapshotMoment {
  kUnknown,  // made before this was recorded
  kOne,
  // As after a power failure: everything written before is in it, but of concurrent writes it may have a
  // later one without an earlier one.
  kCrashConsistent,
};

const char* ToString(SnapshotKind kind);      // "manual", "pre-rollback", "scheduled"
const char* ToString(SnapshotState state);    // "ok", "missing"
const char* ToString(SnapshotMoment moment);  // "unknown", "one", "crash-consistent"
// kManual for any other text.
SnapshotKind KindFrom(std::string_view text);
// Whether it is a checkpoint, and not a state that a rollback kept.
inline bool IsCheckpoint(SnapshotKind kind) { return kind != SnapshotKind::kPreRollback; }
// kUnknown for any other text.
SnapshotMoment MomentFrom(std::string_view text);

struct SnapshotRecord {
  int64_t id = 0;
  Uuid uuid;  // user.ckptfs.id
  int64_t workspace_id = 0;
  std::string name;
  VolumeId volume;
  int64_t created_ns = 0;
  std::string message;
  std::string metadata = "{}";  // a JSON object
  bool pinned = false;
  // The tags of those who need it, sorted. A held snapshot cannot be deleted, as if it were pinned.
  std::vector<std::string> holds;
  std::optional<int64_t> parent_id;
  std::string parent_name;  // its current name; empty: none
  SnapshotKind kind = SnapshotKind::kManual;
  SnapshotState state = SnapshotState::kOk;
  uint64_t view = 0;  // as in WorkspaceRecord
  RootAttributes root;
  int64_t unlinked_open = 0;
  SnapshotMoment moment = SnapshotMoment::kUnknown;
  std::string moment_reason;  // why it is not one moment, for display; empty if it is
};

// Identifies a snapshot and its volume.
struct SnapshotVolume {
  int64_t id = 0;
  int64_t workspace_id = 0;
  std::string name;
  VolumeId volume;
  uint64_t view = 0;
  SnapshotState state = SnapshotState::kOk;
};

inline constexpr size_t kHoldsMax = 64;
// "a, b"
std::string NamesOf(const std::vector<std::string>& holds);

// Each throws Error EUCLEAN that says which value is invalid. Ids of 0 are not checked (a sidecar has none),
// nor are references to other records.
void RequireSoundName(const char* what, const std::string& name);
void RequireSound(const RootAttributes& root);
void RequireSound(const WorkspaceRecord& workspace);
void RequireSound(const SnapshotRecord& snapshot);
// Clamps a time to the valid range: for files of others, which may have any time.
int64_t SoundTime(int64_t seconds, int64_t ns);

// A file of a workspace that a process has, or had at a checkpoint, open for writing.
struct OpenWriter {
  pid_t pid = 0;        // in the daemon's PID namespace; 0: not visible
  std::string command;  // of that process; empty if it is gone or unknown
  std::string path;     // relative to the workspace's root; empty if unknown
};

// At most this many are recorded per checkpoint.
inline constexpr size_t kRecordedWritersMax = 1000;

// Which files were open for writing at one moment, and by which processes.
struct OpenWriterList {
  std::vector<OpenWriter> named;  // by path; at most kRecordedWritersMax
  uint64_t total = 0;             // of which `named` are the first
};

}  // namespace ckptfs
