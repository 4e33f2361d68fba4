// The changes that turn one volume into another, as shown to people.
#pragma once

#include <string_view>

#include "backend/compare/diff_list.h"
#include "backend/compare/name_changes.h"
#include "backend/compare/volume_files.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// The changes that turn the read-only volume `older` into the read-only volume `newer`, computed from changes
// of names. Sorted by path (by bytes; for one path: removed, renamed, added, modified). Every file concerned
// is looked at, so a wrong claim throws Error(EBADMSG).
//
// Read the result as three steps: remove what is kRemoved (paths of the older volume), rename everything that
// is kRenamed at once (a directory brings along its contents), then create what is kAdded and change what is
// kModified (paths of the newer volume). The outcome is exactly the newer volume, and no change is redundant:
//
// - A file is identified by identity, not by name. kRenamed: a file lost one name and gained one. For other
//   changes to the names of a file with hard links, each name is listed.
// - Another file of the same type in the old one's place (how editors save) is kModified, if anything that
//   counts differs; one of another type is kRemoved and kAdded.
// - What is in a directory that was created anew in the old one's place is at its old path, whether it was
//   moved back there or created anew as well.
// - Exchanged names are two renames. If a file was renamed and another created under its old name, the latter
//   is kAdded.
// - kModified means contents, mode, owner, flags, extended attributes, ACLs, and for a regular file mtime.
//   With hard links, every name is listed. Rewriting identical bytes does not count by itself.
// - For a new or removed tree, everything in it is listed.
// - Other filesystems and nested subvolumes are not part of either volume.
//
// Works under the limits of the volumes' files. With `extent` kFirst, the list contains at most one
// difference.
DiffList ChangesFromNames(const VolumeFiles& older, const VolumeFiles& newer, NameChanges names,
                          Extent extent);

// Whether a path is kPrivateDirectoryName or below it, which is not part of either volume.
bool IsPrivatePath(std::string_view path);

// The same result by walking both trees: takes time proportional to the number of files, and needs no support
// by the filesystem.
DiffList ChangesByWalking(const VolumeFiles& older, const VolumeFiles& newer, Extent extent);

}  // namespace ckptfs
