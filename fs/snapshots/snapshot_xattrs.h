// The user.ckptfs.* attributes of snapshots.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "catalog/store/store.h"
#include "fs/operations/verbs.h"

namespace ckptfs {

// True for names of the form user.ckptfs.*, which never reach a volume of a snapshot.
bool IsSnapshotXattr(std::string_view name);

// The value; empty optional if there is no such attribute. Sizes are computed here and now.
std::optional<std::string> GetSnapshotXattr(Store& store, const SnapshotRecord& snapshot,
                                            std::string_view name);

// A value that is to be set, as what it is: a message, metadata, whether it is pinned.
using SnapshotXattrValue = std::variant<std::string, Metadata, bool>;
// In the thread of whoever asks: a verb's is not kept from others by looking through what was sent. Throws Error:
// EINVAL (bad value), EPERM (read-only attribute, or none that exists).
SnapshotXattrValue CheckSnapshotXattr(std::string_view name, std::string_view value);
void SetSnapshotXattr(Verbs& verbs, const SnapshotRecord& snapshot,
                      const SnapshotXattrValue& value);

// All names, each with a NUL behind it, as listxattr(2) gives them.
std::string SnapshotXattrNames();

}  // namespace ckptfs
