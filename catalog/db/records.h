// What the catalog holds, as values.
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

// --- What a record can hold ----------------------------------------------------------------------
//
// Rows and sidecars are read from stores that others may have made. What is read is checked against these,
// and what is written keeps to them, so the rest of the program need not ask again.

// The year 2240. The kernel's clock can be set to times from 1970 to 2232, so with others there is no counting
// on without overflow.
inline constexpr int64_t kTimeNsMax = int64_t{8'520'336'000} * 1'000'000'000;
// Of what is taken in from sidecars: later times are counted on from it, a nanosecond each.
inline constexpr int64_t kNotedTimeNsMax = kTimeNsMax - int64_t{1'000'000} * 1'000'000'000;
// Of sidecars and the like. What counts on from there has room above it.
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
  // The snapshot that the live state derives from: the newest checkpoint taken of it, or the one
  // it was rolled back to or forked from.
  std::optional<int64_t> parent_id;
  // The volume's change marker when it was equal to that snapshot.
  uint64_t parent_marker = 0;
};

// What `ls -l` shows of a snapshot's directory, kept here so that it touches no volume.
struct RootAttributes {
  mode_t mode = 0;  // with the file type bits
  uid_t uid = 0;
  gid_t gid = 0;
  std::string acl;  // system.posix_acl_access as getxattr gives it; empty: none
  // Names of all extended attributes, as listxattr(2) gives them (each with a NUL behind it).
  std::string xattr_names;
};

// Of a new directory (with permissions `mode`, the umask taken off) that a user makes in another: as in any
// filesystem, one with the set-group-id bit passes that and its group on.
inline RootAttributes NewDirectoryBelow(const RootAttributes& above, mode_t mode, uid_t uid,
                                        gid_t gid) {
  const bool inherits = (above.mode & S_ISGID) != 0;
  return {.mode = S_IFDIR | (mode & 07777) | (inherits ? S_ISGID : 0),
          .uid = uid,
          .gid = inherits ? above.gid : gid,
          .acl = {},
          .xattr_names = {}};
}

enum class SnapshotKind { kManual, kPreRollback };
enum class SnapshotState { kOk, kMissing };

// Whether a snapshot is one moment of all that programs wrote while it was made.
enum class SnapshotMoment {
  kUnknown,  // made before that was recorded
  kOne,
  // As after a power cut: all that was written before is in it, but of what was written meanwhile
  // perhaps a later part without an earlier one.
  kCrashConsistent,
};

const char* ToString(SnapshotKind kind);      // "manual", "pre-rollback"
const char* ToString(SnapshotState state);    // "ok", "missing"
const char* ToString(SnapshotMoment moment);  // "unknown", "one", "crash-consistent"
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
  std::optional<int64_t> parent_id;
  std::string parent_name;  // of that parent at present; empty: none
  SnapshotKind kind = SnapshotKind::kManual;
  SnapshotState state = SnapshotState::kOk;
  uint64_t view = 0;  // as in WorkspaceRecord
  RootAttributes root;
  int64_t unlinked_open = 0;
  SnapshotMoment moment = SnapshotMoment::kUnknown;
  std::string moment_reason;  // why it is not one moment, for its user; empty unless it is so
};

// What tells a snapshot and its volume apart from others.
struct SnapshotVolume {
  int64_t id = 0;
  int64_t workspace_id = 0;
  std::string name;
  VolumeId volume;
  uint64_t view = 0;
  SnapshotState state = SnapshotState::kOk;
};

// Each throws Error EUCLEAN that says what in the record cannot be. Ids are not looked at where they are 0
// (a sidecar has none), nor is what refers to other records.
void RequireSoundName(const char* what, const std::string& name);
void RequireSound(const RootAttributes& root);
void RequireSound(const WorkspaceRecord& workspace);
void RequireSound(const SnapshotRecord& snapshot);
// `time_ns` as one that can be: of files of others, which may have any.
int64_t SoundTime(int64_t seconds, int64_t ns);

// A file of a workspace that a process has, or had at a checkpoint, open for writing.
struct OpenWriter {
  pid_t pid = 0;        // that has it, as the daemon numbers processes; 0: none that can be seen
  std::string command;  // of that process; empty if it is gone, or not known
  std::string path;     // relative to the workspace's root; empty if not known
};

// At most so many are recorded of one checkpoint.
inline constexpr size_t kRecordedWritersMax = 1000;

// Who had what open for writing at one moment.
struct OpenWriterList {
  std::vector<OpenWriter> named;  // by path; at most kRecordedWritersMax
  uint64_t total = 0;             // of which `named` are the first
};

}  // namespace ckptfs
