// Names in users' trees that ckptfs reserves.
#pragma once

#include <string_view>

namespace ckptfs {

// An entry of a volume's root directory that is not part of the volume's tree: higher layers store what they
// need there (catalog/store/unlinked_directory.h). A backend's list of changes omits it with all its
// contents.
inline constexpr std::string_view kPrivateDirectoryName = ".ckptfs-unlinked";

// Extended attributes that belong to one volume: never shown in a live tree, and never copied.
inline constexpr std::string_view kOwnXattrPrefix = "trusted.ckptfs.";
inline bool IsOwnXattr(std::string_view name) { return name.starts_with(kOwnXattrPrefix); }

// Extended attributes of a snapshot's root directory that tell about the snapshot and are no part of its
// tree.
inline constexpr std::string_view kSnapshotXattrPrefix = "user.ckptfs.";

}  // namespace ckptfs
