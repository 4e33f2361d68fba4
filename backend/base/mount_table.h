// Mounts as the kernel lists them.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ckptfs {

// The type that mounts of ours have there.
inline constexpr char kFilesystemType[] = "fuse.ckptfs";

struct Mount {
  int id = 0;
  dev_t device = 0;
  std::string root;  // which directory of the filesystem is mounted; "/" for the whole
  std::string target;
  std::string type;
  std::string source;
};

// What a file like /proc/self/mountinfo lists, in its order; a mount that hides another comes behind it.
// Empty if it cannot be read.
std::vector<Mount> ReadMounts(const std::string& mountinfo);

}  // namespace ckptfs
