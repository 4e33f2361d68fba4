// Compares two subvolumes by looking at every file in them.
#pragma once

#include "backend/btrfs/name_changes.h"
#include "backend/btrfs/subvolume_files.h"

namespace ckptfs {

// What names were gained and lost between two read-only subvolumes, and which files in both may
// differ, found by walking both trees. Time: proportional to the number of files; memory: to the
// number of directories and of differences. Takes no file of one for one of the other but by
// FileIdentity, so it is right for any two subvolumes, related or not.
NameChanges CompareByWalking(const SubvolumeFiles& older, const SubvolumeFiles& newer);

}  // namespace ckptfs
