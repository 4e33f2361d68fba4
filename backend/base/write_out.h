// Getting data on its way to the disk.
#pragma once

namespace ckptfs {

// Writes the data of an open file to the disk and waits until the filesystem's running transaction
// refers to it: on btrfs it is then durable with the next commit, whoever causes that, as a snapshot
// does. Cheaper than fsync(2), which on btrfs writes a log of its own and waits for the disk's cache.
// On a filesystem without FIEMAP it is fdatasync(2). Throws Error. Any thread.
//
// sync_file_range(2) is not enough: it waits for the data alone, and btrfs makes the file refer to it
// afterwards, from a work queue (btrfs_finish_ordered_io). A commit between the two leaves an empty
// file. FIEMAP's sync flag waits for both (btrfs_fiemap).
void WriteOutData(int fd);

}  // namespace ckptfs
