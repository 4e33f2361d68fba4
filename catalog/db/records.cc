#include "catalog/db/records.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/error.h"
#include "catalog/db/view_numbers.h"
#include "catalog/trees/names.h"

namespace ckptfs {
namespace {

[[noreturn]] void Unsound(const std::string& why) { throw Error(EUCLEAN, "read a record", why); }

void RequireInRange(const char* what, int64_t value, int64_t min, int64_t max) {
  if (value < min || value > max) Unsound(fmt::format("{} is out of range: {}", what, value));
}

void RequireBytes(const char* what, const std::string& value, size_t bytes_max) {
  if (value.size() <= bytes_max) return;
  Unsound(fmt::format("{} has {} bytes; the maximum is {}", what, value.size(), bytes_max));
}

void RequireView(uint64_t view) {
  if (view == 0 || view > kMaxView) Unsound(fmt::format("a view number is out of range: {}", view));
}

void RequireCommon(int64_t id, const VolumeId& volume, int64_t created_ns, uint64_t view) {
  RequireInRange("an id", id, 0, kMaxRowId);
  if (volume.empty()) Unsound("it names no volume");
  RequireInRange("a time", created_ns, 0, kTimeNsMax);
  RequireView(view);
}

}  // namespace

const char* ToString(SnapshotKind kind) {
  switch (kind) {
    case SnapshotKind::kPreRollback:
      return "pre-rollback";
    case SnapshotKind::kScheduled:
      return "scheduled";
    case SnapshotKind::kManual:
      break;
  }
  return "manual";
}

SnapshotKind KindFrom(std::string_view text) {
  for (const SnapshotKind kind : {SnapshotKind::kPreRollback, SnapshotKind::kScheduled}) {
    if (text == ToString(kind)) return kind;
  }
  return SnapshotKind::kManual;
}

const char* ToString(SnapshotState state) { return state == SnapshotState::kOk ? "ok" : "missing"; }

void RequireSoundName(const char* what, const std::string& name) {
  try {
    CheckName(what, name);
  } catch (const Error& error) {
    Unsound(fmt::format("no {} has such a name: {}", what, error.why()));
  }
}

void RequireSound(const RootAttributes& root) {
  if (!S_ISDIR(root.mode) || (root.mode & ~(S_IFMT | mode_t{07777})) != 0) {
    Unsound(fmt::format("a directory cannot have the mode {:o}", root.mode));
  }
  const auto nobody = static_cast<uid_t>(-1);  // chown(2) and the like take it as "no change"
  if (root.uid == nobody || root.gid == nobody) Unsound("a directory cannot have that owner");
  RequireBytes("an ACL", root.acl, kMaxXattrBytes);
  RequireBytes("a list of attributes", root.xattr_names, kMaxXattrBytes);
  const std::string& names = root.xattr_names;
  // Each name is terminated by NUL, and none is empty.
  const bool sound = names.empty() || (names.front() != '\0' && names.back() == '\0' &&
                                       names.find(std::string(2, '\0')) == std::string::npos);
  if (!sound) Unsound("the list of attributes is malformed");
}

void RequireSound(const WorkspaceRecord& workspace) {
  RequireSoundName("workspace", workspace.name);
  RequireCommon(workspace.id, workspace.volume, workspace.created_ns, workspace.view);
}

void RequireSound(const SnapshotRecord& snapshot) {
  RequireSoundName("snapshot", snapshot.name);
  RequireCommon(snapshot.id, snapshot.volume, snapshot.created_ns, snapshot.view);
  if (snapshot.uuid.empty()) Unsound("it has no UUID");
  RequireBytes("a message", snapshot.message, kMaxMessageBytes);
  for (const std::string& tag : snapshot.holds) RequireSoundName("hold", tag);
  RequireInRange("a number of holds", static_cast<int64_t>(snapshot.holds.size()), 0,
                 int64_t{kHoldsMax});
  RequireBytes("metadata", snapshot.metadata, kMaxMetadataBytes);
  RequireBytes("a reason", snapshot.moment_reason, kMaxMessageBytes);
  RequireInRange("a number of files", snapshot.unlinked_open, 0, kMaxRowId);
  RequireSound(snapshot.root);
}

std::string NamesOf(const std::vector<std::string>& holds) {
  return fmt::format("{}", fmt::join(holds, ", "));
}

int64_t SoundTime(int64_t seconds, int64_t ns) {
  constexpr int64_t kNsPerSecond = 1'000'000'000;
  const int64_t whole = std::clamp<int64_t>(seconds, 0, kTimeNsMax / kNsPerSecond - 1);
  return whole * kNsPerSecond + std::clamp<int64_t>(ns, 0, kNsPerSecond - 1);
}

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
