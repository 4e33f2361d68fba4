// The places for btrfs volumes: an image owned by the store, or the btrfs filesystem that contains the store.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/unique_fd.h"
#include "backend/interface/backend.h"
#include "backend/mount/loop_device.h"

namespace ckptfs {

inline constexpr char kVolumesDirectory[] = "volumes";
inline constexpr char kMetaDirectory[] = "meta";

// What a BtrfsBackend needs from its place, and keeps alive. Members are destroyed last to first:
// descriptors, mount, device, image.
struct BtrfsHome {
  std::string_view type;           // of the backend
  UniqueFd image;                  // btrfs-loop only: the image file
  std::optional<LoopDevice> loop;  // btrfs-loop only
  UniqueFd root;                   // of the private mount
  UniqueFd volumes;
  UniqueFd meta;
  std::vector<std::string> warnings;  // BackendHealth::warnings
};

// Opens volumes/ and meta/ below home->root. `mend` is the remedy if they do not exist.
void OpenHomeDirectories(BtrfsHome* home, const std::string& place, const std::string& mend);

}  // namespace ckptfs
