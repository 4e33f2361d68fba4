// The places where btrfs volumes live: an image of the store's own, or the btrfs filesystem on
// which the store lies.
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

// What a BtrfsBackend needs of its place, kept alive with it. Members are destroyed from the last
// to the first: descriptors, mount, device, image.
struct BtrfsHome {
  std::string_view type;           // of the backend
  UniqueFd image;                  // btrfs-loop only: the image file
  std::optional<LoopDevice> loop;  // btrfs-loop only
  UniqueFd root;                   // of the private mount
  UniqueFd volumes;
  UniqueFd meta;
  std::vector<std::string> warnings;  // BackendHealth::warnings
};

// Opens volumes/ and meta/ below home->root. `mend` says what to do when they are not there.
void OpenHomeDirectories(BtrfsHome* home, const std::string& place, const std::string& mend);

}  // namespace ckptfs
