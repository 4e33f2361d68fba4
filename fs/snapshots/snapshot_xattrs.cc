#include "fs/snapshots/snapshot_xattrs.h"

#include <array>
#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/own_names.h"
#include "backend/base/time.h"

namespace ckptfs {
namespace {

constexpr std::array<std::string_view, 11> kNames = {
    "message", "metadata",        "pinned",          "id", "created", "parent", "kind", "state",
    "moment",  "exclusive_bytes", "referenced_bytes"};

bool ParsePinned(std::string_view value) {
  if (value == "1") return true;
  if (value == "0") return false;
  throw Error(EINVAL, "set user.ckptfs.pinned", "the value is neither 0 nor 1");
}

}  // namespace

bool IsSnapshotXattr(std::string_view name) { return name.starts_with(kSnapshotXattrPrefix); }

std::optional<std::string> GetSnapshotXattr(Store& store, const SnapshotRecord& snapshot,
                                            std::string_view name) {
  if (!IsSnapshotXattr(name)) return std::nullopt;
  name.remove_prefix(kSnapshotXattrPrefix.size());
  if (name == "message") return snapshot.message;
  if (name == "metadata") return snapshot.metadata;
  if (name == "pinned") return snapshot.pinned ? "1" : "0";
  if (name == "id") return snapshot.uuid.str();
  if (name == "created") return FormatRfc3339(snapshot.created_ns);
  if (name == "parent") return snapshot.parent_name;
  if (name == "kind") return ToString(snapshot.kind);
  if (name == "state") return ToString(snapshot.state);
  if (name == "moment") return ToString(snapshot.moment);
  if (name == "exclusive_bytes") {
    return std::to_string(store.SnapshotUsage(snapshot.id).exclusive_bytes);
  }
  if (name == "referenced_bytes") {
    return std::to_string(store.SnapshotUsage(snapshot.id).referenced_bytes);
  }
  return std::nullopt;
}

SnapshotXattrValue CheckSnapshotXattr(std::string_view name, std::string_view value) {
  name.remove_prefix(kSnapshotXattrPrefix.size());
  if (name == "message") return std::string(value);
  if (name == "metadata") return Metadata::Checked(std::string(value));
  if (name == "pinned") return ParsePinned(value);
  throw Error(EPERM, "set user.ckptfs." + std::string(name), "this attribute cannot be set");
}

void SetSnapshotXattr(Verbs& verbs, const SnapshotRecord& snapshot,
                      const SnapshotXattrValue& value) {
  if (const auto* message = std::get_if<std::string>(&value)) {
    verbs.SetMessage(snapshot.id, *message);
  } else if (const auto* metadata = std::get_if<Metadata>(&value)) {
    verbs.SetMetadata(snapshot.id, *metadata);
  } else {
    verbs.SetPinned(snapshot.id, std::get<bool>(value));
  }
}

std::string SnapshotXattrNames() {
  std::string names;
  for (const std::string_view name : kNames) {
    names.append(kSnapshotXattrPrefix).append(name).push_back('\0');
  }
  return names;
}

}  // namespace ckptfs
