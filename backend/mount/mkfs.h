// Filesystems, made by their own programs. Each makes an empty one in the whole of an open file and throws
// Error with mkfs's own words when that fails, ENOENT with what to install if it is not there.
#pragma once

namespace ckptfs {

// One device, single data, duplicated metadata, label "ckptfs".
void MakeBtrfs(int image_fd);

// Both for an image that is nothing but a hole, and of which as much is to stay a hole as can be, on
// devices with sectors of 4 KiB.
//
// Blocks of 4 KiB however small it is, nothing kept back for root, a journal of 32 MiB (less in a small
// one), and nothing that the kernel would have to set up later. It has a directory lost+found.
void MakeExt4(int image_fd);
void MakeXfs(int image_fd);

}  // namespace ckptfs
