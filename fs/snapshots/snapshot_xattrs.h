// The user.ckptfs.* attributes of snapshots.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "catalog/store/store.h"
#include "fs/operations/verbs.h"

namespace ckptfs {

// Whether the name has the form user.ckptfs.*; such names never reach a snapshot's volume.
bool IsSnapshotXattr(std::string_view name);

// The value; empty if there is no such attribute. Sizes are computed by this call.
std::optional<std::string> GetSnapshotXattr(Store& store, const SnapshotRecord& snapshot,
                                            std::string_view name);

// A parsed value to set: a message, metadata, or whether the snapshot is pinned.
using SnapshotXattrValue = std::variant<std::string, Metadata, bool>;
// Runs in the requester's thread, so that parsing does not occupy a verb's. Throws Error: EINVAL (bad value),
// EPERM (read-only or nonexistent attribute).
SnapshotXattrValue CheckSnapshotXattr(std::string_view name, std::string_view value);
void SetSnapshotXattr(Verbs& verbs, const SnapshotRecord& snapshot,
                      const SnapshotXattrValue& value);

// All names, each terminated by NUL, in the format of listxattr(2).
std::string SnapshotXattrNames();

}  // namespace ckptfs
