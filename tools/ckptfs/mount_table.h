// Mounts as the kernel lists them.
#pragma once

#include <libmount/libmount.h>

#include <memory>
#include <string>

namespace ckptfs {

// The type that mounts of ours have there.
constexpr char kFilesystemType[] = "fuse.ckptfs";

using MountTable = std::unique_ptr<libmnt_table, void (*)(libmnt_table*)>;

// Of a file like /proc/self/mountinfo; null if it cannot be read.
inline MountTable ReadMounts(const std::string& mountinfo) {
  return {mnt_new_table_from_file(mountinfo.c_str()), mnt_unref_table};
}

}  // namespace ckptfs
