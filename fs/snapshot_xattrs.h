// The user.ckptfs.* attributes of snapshots.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "catalog/store.h"
#include "fs/verbs.h"

namespace ckptfs {

// True for names of the form user.ckptfs.*, which never reach a volume of a snapshot.
bool IsSnapshotXattr(std::string_view name);

// The value; empty optional if there is no such attribute. Sizes are computed here and now.
std::optional<std::string> GetSnapshotXattr(Store& store, const SnapshotRecord& snapshot,
                                            std::string_view name);

// Throws Error: EINVAL (bad value), EPERM (read-only attribute, or none that exists).
void SetSnapshotXattr(Verbs& verbs, const SnapshotRecord& snapshot, std::string_view name,
                      std::string_view value);

// All names, each with a NUL behind it, as listxattr(2) gives them.
std::string SnapshotXattrNames();

}  // namespace ckptfs
