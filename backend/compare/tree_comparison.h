// Compares two volumes by looking at every file in them.
#pragma once

#include <cstddef>

#include "backend/compare/name_changes.h"
#include "backend/compare/volume_files.h"

namespace ckptfs {

// The names gained and lost between two read-only volumes, and the files in both that may differ, found by
// walking both trees. Time is proportional to the number of files, memory to the number of directories and
// differences. Files are matched only by FileIdentity, so the result is right for any two volumes, related or
// not.
NameChanges CompareByWalking(const VolumeFiles& older, const VolumeFiles& newer);

// False if something in the two volumes certainly differs, judged by names and file status, or if they have
// more than `files_max` entries. Stops at the first difference.
bool MayBeEqualByWalking(const VolumeFiles& older, const VolumeFiles& newer, size_t files_max);

}  // namespace ckptfs
