// Creates filesystems by running their mkfs. Each function fills a whole open file with an empty filesystem.
// On failure it throws Error with mkfs's message, or ENOENT with what to install if mkfs is missing.
#pragma once

namespace ckptfs {

// One device, single data, duplicated metadata, label "ckptfs".
void MakeBtrfs(int image_fd);

// Both are for an image that is one big hole, which should stay as sparse as possible, on devices with 4 KiB
// sectors.
//
// 4 KiB blocks at any size, no blocks reserved for root, a journal of 32 MiB (less in a small image), and no
// lazy initialisation left to the kernel. Has a directory lost+found.
void MakeExt4(int image_fd);
void MakeXfs(int image_fd);

}  // namespace ckptfs
