// Files that may be mapped for writing although nobody has them open.
#pragma once

#include <vector>

#include "fs/nodes/node_id.h"
#include "fs/nodes/views.h"
#include "fs/open/inode_table.h"
#include "fs/open/open_files.h"

namespace ckptfs {

// A mapping of a file that passes through holds the backing file, not the file of the mount: the
// kernel sends RELEASE at close(2) although stores through the mapping go on, and go on changing
// the file's mtime behind the kernel's cache. So of every file that was open for writing its record
// says, from then on, that it may be mapped. Whether it is costs more than the rest of a release
// (IsOpenUnderneath), and is looked at when it matters or, soon after, by the mount's tidier, until it
// is not.
//
// Owned by the mount. Any thread may call anything, with no lock of InodeTable held.
class MappedFiles {
 public:
  // All of them outlive it.
  MappedFiles(InodeTable& inodes, OpenFiles& open_files, SlotTable& slots, VolumeCache& volumes)
      : inodes_(inodes), open_files_(open_files), slots_(slots), volumes_(volumes) {}

  // Looks whether a file that may be mapped still is, and has its record say so. Returns what that says then.
  // Costs nothing as long as no file may be.
  bool LookAgain(NodeId node);
  // Looks at all of that slot.
  void LookAtAll(Slot slot);
  // Looks at all such files that are new, and at some of the others, which can be as many as there is memory
  // for mappings: at the rest the next times. Returns whether any is left. By the tidier.
  bool LookAtSome();

  // Everything of that slot that somebody can write to without a further open: open handles, and
  // mappings whose handles are closed (their process is not known).
  std::vector<WriterHandle> Writers(Slot slot);

  // How many were found to be mapped no longer.
  uint64_t ends() const noexcept { return inodes_.mappings_ended(); }

 private:
  bool IsOpenUnderneath(NodeId node) const;

  InodeTable& inodes_;
  OpenFiles& open_files_;
  SlotTable& slots_;
  VolumeCache& volumes_;
};

}  // namespace ckptfs
