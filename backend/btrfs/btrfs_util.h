// Translates libbtrfsutil's errors, and wraps the few btrfs ioctls that it lacks.
#pragma once

#include <btrfsutil.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace ckptfs {

// The inode number of every subvolume's root directory. Where the source of a snapshot contained a nested
// subvolume, the snapshot has an empty directory with number 2.
inline constexpr uint64_t kSubvolumeRootInode = 256;

// Throws Error with the errno that the library left, and its message where that says more. `hint` as in
// Error.
void CheckBtrfsUtil(btrfs_util_error result, std::string_view attempted,
                    std::string_view hint = {});

// Whether `fd` is on btrfs.
bool IsOnBtrfs(int fd);

// The UUID of the btrfs filesystem that contains `fd`, in canonical form.
std::string FilesystemUuid(int fd);

// The id of the subvolume that contains `fd`.
uint64_t SubvolumeId(int fd);

// The number of the last transaction that changed anything in the subvolume that contains `fd`, as the kernel
// knows it now: an access, a chmod or a new name shows at once; written data shows at the latest when it is
// written out.
//
// This is the root item's ctransid, not its generation: taking a snapshot rewrites the source's root block,
// and so changes the generation of an unchanged volume (create_pending_snapshot in fs/btrfs/transaction.c). A
// snapshot starts with its source's ctransid.
uint64_t LastChangeTransaction(int fd);

// The first transaction with nothing of a read-only subvolume's state: any state that derives from it by
// changes has written these in this transaction or later. A snapshot is made at the very end of a
// transaction, so later changes of its source belong to a later one (create_pending_snapshots).
uint64_t FirstTransactionAfter(int fd);

// How many reads on the filesystem that contains `fd` failed or returned corrupt data, on any of its devices.
// btrfs keeps this count, also across mounts. 0 if it is unknown.
uint64_t CountDamage(int fd);
// The same for writes that failed.
uint64_t CountWriteErrors(int fd);

}  // namespace ckptfs
