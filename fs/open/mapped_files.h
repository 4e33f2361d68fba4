// Files that may still be mapped for writing although no handle is open.
#pragma once

#include <vector>

#include "fs/nodes/node_id.h"
#include "fs/nodes/views.h"
#include "fs/open/inode_table.h"
#include "fs/open/open_files.h"

namespace ckptfs {

// A mapping of a passthrough file holds the backing file, not the mount's file: the kernel sends RELEASE at
// close(2), but stores through the mapping continue and change the file's mtime behind the kernel's cache. So
// after a file was open for writing, its record says that it may be mapped. To find out costs more than the
// rest of a release (IsOpenUnderneath), so the file is checked when it matters, or soon after by the mount's
// tidier, until it is no longer mapped.
//
// Owned by the mount. Thread-safe; call without a lock of InodeTable.
class MappedFiles {
 public:
  // All arguments outlive this object.
  MappedFiles(InodeTable& inodes, OpenFiles& open_files, SlotTable& slots, VolumeCache& volumes)
      : inodes_(inodes), open_files_(open_files), slots_(slots), volumes_(volumes) {}

  // Checks whether a file that may be mapped still is, and updates its record. Returns the updated answer.
  // Costs nothing while no file may be mapped.
  bool LookAgain(NodeId node);
  // Checks all such files of that slot.
  void LookAtAll(Slot slot);
  // Checks all new such files and some of the others; the rest, of which there can be as many as memory
  // allows mappings, are checked at later calls. Returns whether any is left. Called by the tidier.
  bool LookAtSome();

  // All of that slot that can be written to without another open: open handles, and mappings whose handles
  // are closed (their process is unknown).
  std::vector<WriterHandle> Writers(Slot slot);

  // How many files were found to be no longer mapped.
  uint64_t ends() const noexcept { return inodes_.mappings_ended(); }

 private:
  bool IsOpenUnderneath(NodeId node) const;

  InodeTable& inodes_;
  OpenFiles& open_files_;
  SlotTable& slots_;
  VolumeCache& volumes_;
};

}  // namespace ckptfs
