// Valid names of workspaces and snapshots.
#pragma once

#include <string>
#include <string_view>

#include "backend/base/own_names.h"

namespace ckptfs {

inline constexpr std::string_view kSnapshotsName = ".snapshots";
inline constexpr std::string_view kLatestName = "latest";
inline constexpr std::string_view kLiveName = ".live";
// The hidden file through which `ckpt` talks to the daemon, in the mount root and in every workspace's root.
// Reserved there, like ".snapshots".
inline constexpr std::string_view kControlName = ".ckptfs-control";
// The hidden directory in a workspace's root for files that are open but have no name any more
// (catalog/store/unlinked_directory.h). Also reserved there.
inline constexpr std::string_view kUnlinkedName = kPrivateDirectoryName;
inline constexpr size_t kMaxNameBytes = 255;

// Throws Error EINVAL, saying which rule `name` breaks: 1 to 255 bytes (ENAMETOOLONG above) of valid UTF-8
// without control characters (C0, DEL, C1) and '/', no leading '.' or '-', and not "latest". `what` is
// "workspace" or "snapshot".
void CheckName(std::string_view what, std::string_view name);

bool IsValidUtf8(std::string_view text);

// `name` followed by "-SUFFIX", shortened as needed to stay a valid name.
std::string NameWithSuffix(std::string_view name, int suffix);

// The first of `wanted`, wanted-2, wanted-3, ... for which `is_taken` is false.
template <typename IsTaken>
std::string FirstFreeName(const std::string& wanted, const IsTaken& is_taken) {
  std::string name = wanted;
  for (int suffix = 2; is_taken(name); ++suffix) name = NameWithSuffix(wanted, suffix);
  return name;
}

// Whether ckptfs reserves the name in a workspace's root directory.
bool IsReservedInWorkspace(std::string_view name);

}  // namespace ckptfs
