// What a checkpoint does for files that are open and have no name.
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

// For as long as it exists, what a checkpoint copies holds all orphans of a live tree that are in use: in the
// volume's hidden directory. For the thread of a verb; the freeze lock is closed meanwhile.
class GatheredOrphans {
 public:
  // Whether nobody is writing to a file just now, nor can begin to.
  using IsStill = std::function<bool(NodeId)>;

  // Of the files with that slot, which are in `volume`. Takes time only for those that were not there at the
  // last checkpoint. One for which it fails is logged and left out: it is lost at a crash, as it would be
  // natively. So is one that is not still: a write(2) holds the lock of the file underneath for as long as it
  // lasts, which may be for ever. `keep_copies`: the live tree itself becomes the snapshot.
  GatheredOrphans(InodeTable& inodes, Slot slot, const Volume& volume, bool keep_copies,
                  const IsStill& is_still);
  ~GatheredOrphans();
  GatheredOrphans(const GatheredOrphans&) = delete;
  GatheredOrphans& operator=(const GatheredOrphans&) = delete;

  uint64_t count() const noexcept { return linked_ + copies_.size(); }
  // Of files that are not found there.
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
