// Disk usage of a volume.
#pragma once

#include "backend/interface/backend.h"

namespace ckptfs {

// Counts a volume's data as btrfs's quota groups would, without needing them: each extent on disk counts once
// and completely (also if only a part of it is in use, as it is only freed as a whole), in its compressed
// size. Data of small files that btrfs stores in its trees counts in `referenced`; the trees themselves do
// not count.
//
// An extent is exclusive if only files of this volume refer to it. The kernel is asked with FIEMAP:
// FIEMAP_EXTENT_SHARED stops at the first second reference and caches shared tree blocks, so it stays cheap
// with many snapshots. It also reports an extent as shared if this volume itself refers to it more than once;
// for those (few), LOGICAL_INO_V2 lists all references.
//
// Source: btrfs_is_data_extent_shared in fs/btrfs/backref.c. Takes time proportional to the files with data
// outside of the trees: for a snapshot 15 to 60 µs each, however many snapshots there are. For a writable
// volume the kernel finds the second reference late: 30 µs with one snapshot, 600 with 1000 (measured on
// Linux 6.18). Takes 24 bytes of memory per reference. On a volume that changes meanwhile the numbers are
// approximate.
VolumeUsage MeasureUsage(const Volume& volume);

}  // namespace ckptfs
