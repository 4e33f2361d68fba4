// What turns one volume into another, in the terms that people are told.
#pragma once

#include <string_view>

#include "backend/compare/diff_list.h"
#include "backend/compare/name_changes.h"
#include "backend/compare/volume_files.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// The changes that turn the read-only volume `older` into the read-only volume `newer`, from what was
// found out about names in them. Sorted by path (by bytes; for one path: removed, renamed, added,
// modified). Every file concerned is looked at, so that a wrong claim comes out as Error(EBADMSG).
//
// Read the result as three steps: take away what is kRemoved (paths of the older volume), rename
// all that is kRenamed at once (a directory brings along what is below), then make what is kAdded
// and change what is kModified (paths of the newer volume). The outcome is the newer volume,
// exactly, and no change is listed without need:
//
// - A file is the same file by identity, not by name. kRenamed: a file lost one name and gained
//   one. A file with hard links that lost and gained otherwise has these listed name by name.
// - Another file of the same type in the old one's place (how editors save) is kModified, if any
//   of what counts differs; of another type, it is kRemoved and kAdded.
// - What lies in a directory that was made anew in the old one's place is at its old path, whether
//   it was moved back there or made anew as well.
// - Exchanged names are two renames. Where a file was renamed and another made under its old
//   name, that one is kAdded.
// - kModified means contents, mode, owner, flags, extended attributes, ACLs, and for a regular
//   file mtime. With hard links, every name is listed. Bytes written anew that are what they were
//   do not count by themselves.
// - Of a new or removed tree, everything in it is listed.
// - Other filesystems and nested subvolumes are no part of either.
//
// Works under the limits of the volumes' files. `extent` kFirst: of what differs, one at the most is in the list.
DiffList ChangesFromNames(const VolumeFiles& older, const VolumeFiles& newer, NameChanges names,
                          Extent extent);

// Whether a path is that of kPrivateDirectoryName or below, which is no part of either volume.
bool IsPrivatePath(std::string_view path);

// The same, found by walking both trees: takes time proportional to the number of files, and needs
// nothing of the filesystem.
DiffList ChangesByWalking(const VolumeFiles& older, const VolumeFiles& newer, Extent extent);

}  // namespace ckptfs
