// Copying a directory into a new workspace.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/ckpt/locate.h"

namespace ckptfs::cli {

struct ImportedTree {
  std::string workspace;
  uint64_t files = 0;
  uint64_t copied_bytes = 0;
  uint64_t shared_bytes = 0;
  uint64_t links_outside = 0;
  uint64_t attributes_left_out = 0;
  std::vector<std::string> left_out;
  bool is_durable = false;  // the copy is on disk
};

// Makes workspace `name` with a copy of everything in the directory `source_fd` (open for
// reading), showing a progress bar. For root the daemon copies: the data can be shared, and nothing
// is seen before it is complete. For others, who could not be trusted with what the daemon may
// read, this process copies through the mount, into a workspace of a temporary name that is
// renamed at the end and removed on failure. Throws Error.
ImportedTree ImportTree(const Location& mount_root, const std::string& name, int source_fd,
                        bool leave_out_nested);

}  // namespace ckptfs::cli
