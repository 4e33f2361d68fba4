// Mounts as listed by the kernel.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ckptfs {

// The filesystem type of our mounts.
inline constexpr char kFilesystemType[] = "fuse.ckptfs";

struct Mount {
  int id = 0;
  dev_t device = 0;
  std::string root;  // mounted directory of the filesystem; "/" for the whole
  std::string target;
  std::string type;
  std::string source;
};

// The mounts in a file like /proc/self/mountinfo, in its order: a mount that covers another comes after it.
// Empty if the file cannot be read.
std::vector<Mount> ReadMounts(const std::string& mountinfo);

}  // namespace ckptfs
