// Names in users' trees that ckptfs keeps for itself.
#pragma once

#include <string_view>

namespace ckptfs {

// An entry of a volume's root directory that is no part of the tree that the volume keeps: a place
// for those above to put what they need (catalog/store/unlinked_directory.h). A backend's list of changes
// leaves it out, and all that is in it.
inline constexpr std::string_view kPrivateDirectoryName = ".ckptfs-unlinked";

// Extended attributes that belong to one volume: never shown in a live tree, and never copied.
inline constexpr std::string_view kOwnXattrPrefix = "trusted.ckptfs.";
inline bool IsOwnXattr(std::string_view name) { return name.starts_with(kOwnXattrPrefix); }

}  // namespace ckptfs
