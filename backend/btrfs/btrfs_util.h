// libbtrfsutil's errors as ours, and the few btrfs ioctls that it does not wrap.
#pragma once

#include <btrfsutil.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace ckptfs {

// The inode number of every subvolume's root directory. An empty directory with number 2 stands in
// a snapshot where its source held a nested subvolume.
inline constexpr uint64_t kSubvolumeRootInode = 256;

// Throws Error with the errno that the library left, and its own words where they say more.
// `hint` as in Error.
void CheckBtrfsUtil(btrfs_util_error result, std::string_view attempted,
                    std::string_view hint = {});

// True if the filesystem that `fd` lies on is btrfs.
bool IsOnBtrfs(int fd);

// The UUID of the btrfs filesystem that `fd` lies on, in canonical form.
std::string FilesystemUuid(int fd);

// The id of the subvolume that `fd` lies in.
uint64_t SubvolumeId(int fd);

// Number of the last transaction that changed something in the subvolume that `fd` lies in, as the
// kernel knows it now: an access, a chmod or a new name shows at once; data written shows when it
// is written out, at the latest.
//
// This is the root item's ctransid, not its generation: taking a snapshot rewrites the source's
// root block and so moves the generation of a volume in which nothing changed (create_pending_
// snapshot in fs/btrfs/transaction.c). A snapshot starts with its source's ctransid.
uint64_t LastChangeTransaction(int fd);

// The first transaction that nothing of the state of a read-only subvolume is of: whatever came of that state by
// changes has written these in this one or later. A snapshot is made at the very end of a transaction, so what
// its source is changed by afterwards is of a later one (create_pending_snapshots).
uint64_t FirstTransactionAfter(int fd);

// How often what was read of the filesystem that `fd` lies on was not what had been written, or could not be read,
// on any of its devices. btrfs keeps count, also over mounts. 0 if it cannot be told.
uint64_t CountDamage(int fd);

}  // namespace ckptfs
