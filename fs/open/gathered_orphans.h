// Makes open files without a name part of a checkpoint.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"
#include "backend/interface/backend.h"
#include "fs/nodes/node_id.h"
#include "fs/open/inode_table.h"
#include "fs/open/link_change.h"
#include "fs/open/open_file_copy.h"

namespace ckptfs {

// While it exists, the volume's hidden directory, and so a checkpoint, contains all orphans of a live tree
// that are in use. Used by the thread of an operation, with the freeze lock closed.
class GatheredOrphans {
 public:
  // Whether no write to a file is in progress or can start.
  using IsStill = std::function<bool(NodeId)>;

  // Gathers the orphans with that slot, which are in `volume`. Takes time only for orphans that are new since
  // the last checkpoint. One that fails is logged and left out: a crash loses it, as it would on a native
  // filesystem. One that is not still is also left out: a write(2) holds the lock of the file underneath
  // until it ends, which may be never. `keep_copies`: the live tree itself becomes the snapshot.
  GatheredOrphans(InodeTable& inodes, Slot slot, const Volume& volume, bool keep_copies,
                  const IsStill& is_still);
  ~GatheredOrphans();
  GatheredOrphans(const GatheredOrphans&) = delete;
  GatheredOrphans& operator=(const GatheredOrphans&) = delete;

  uint64_t count() const noexcept { return linked_ + copies_.size(); }
  // Number of orphans that were left out.
  uint64_t left_out() const noexcept { return left_out_; }

 private:
  void Gather(LinkChange& change, const Volume& volume, Deadline end);
  void Link(LinkChange& change, const Volume& volume, const std::string& path);
  void Copy(const LinkChange& change, const Volume& volume, const std::string& path, Deadline end);

  UniqueFd directory_;
  const bool keep_copies_;
  uint64_t linked_ = 0;
  uint64_t left_out_ = 0;
  std::vector<std::string> copies_;
};

}  // namespace ckptfs
