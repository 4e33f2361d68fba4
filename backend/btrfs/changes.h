// What turns one read-only btrfs subvolume into another.
#pragma once

#include <vector>

#include "backend/backend.h"

namespace ckptfs {

// The changes that turn the read-only subvolume `older` into the read-only subvolume `newer` of
// the same filesystem, each given by a descriptor of its root directory. Sorted by path (by bytes;
// for one path: removed, renamed, added, modified).
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
// - Nested subvolumes are no part of either.
//
// Takes time proportional to the changes: the kernel compares the volumes' trees (StreamReplay
// tells how its stream is read), and each change it reports is verified on both volumes. Where that
// cannot be had (a path beyond PATH_MAX, a balance under way), or where the histories of the two
// have parted so that the kernel mistakes files for each other, both trees are walked: slower, the
// same result. Throws Error: EINVAL if one is writable; what reading gives.
//
// Needs CAP_SYS_ADMIN. Any thread may call it, also at the same time for the same volumes, which
// cannot be deleted meanwhile (EPERM).
std::vector<Change> CompareSubvolumes(int older_root_fd, int newer_root_fd);

// The two ways by themselves. The first throws Error(EBADMSG) where it is not to be relied on.
std::vector<Change> CompareSubvolumesBySend(int older_root_fd, int newer_root_fd);
std::vector<Change> CompareSubvolumesByWalk(int older_root_fd, int newer_root_fd);

}  // namespace ckptfs
