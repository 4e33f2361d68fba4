// The one program that is run because no library does its work.
#pragma once

namespace ckptfs {

// Makes an empty btrfs filesystem in the whole of an open file: one device, single data, duplicated
// metadata, label "ckptfs". Waits for mkfs.btrfs (which is looked for in PATH and in the sbin
// directories) and throws Error with its own words when it fails, ENOENT with what to install if it
// is not there.
void MakeBtrfs(int image_fd);

}  // namespace ckptfs
