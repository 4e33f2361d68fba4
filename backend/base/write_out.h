// Writing data to the disk.
#pragma once

namespace ckptfs {

// Writes the data of an open file to the disk and waits until the filesystem's running transaction refers to
// it. On btrfs it is then durable with the next commit, whoever triggers that; a snapshot does. Cheaper than
// fsync(2), which on btrfs writes a log of its own and waits for a disk cache flush. On a filesystem without
// FIEMAP it is fdatasync(2). Throws Error. Thread-safe.
//
// sync_file_range(2) is not enough: it waits for the data only. btrfs makes the file refer to the data
// afterwards, from a work queue (btrfs_finish_ordered_io), and a commit in between leaves an empty file.
// FIEMAP's sync flag waits for both (btrfs_fiemap).
void WriteOutData(int fd);

}  // namespace ckptfs
