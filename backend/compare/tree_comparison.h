// Compares two volumes by looking at every file in them.
#pragma once

#include <cstddef>

#include "backend/compare/name_changes.h"
#include "backend/compare/volume_files.h"

namespace ckptfs {

// What names were gained and lost between two read-only volumes, and which files in both may
// differ, found by walking both trees. Time: proportional to the number of files; memory: to the
// number of directories and of differences. Takes no file of one for one of the other but by
// FileIdentity, so it is right for any two volumes, related or not.
NameChanges CompareByWalking(const VolumeFiles& older, const VolumeFiles& newer);

// False if something in two volumes differs for certain, as names and the status of files tell, or if they
// have more than `files_max` entries: looks no further than to the first difference.
bool MayBeEqualByWalking(const VolumeFiles& older, const VolumeFiles& newer, size_t files_max);

}  // namespace ckptfs
