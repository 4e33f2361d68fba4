// What is known of the inodes that programs have open.
#pragma once

#include "fs/nodes/descriptor_limit.h"
#include "fs/nodes/descriptor_shares.h"
#include "fs/nodes/kernel_cache.h"
#include "fs/nodes/nodes.h"
#include "fs/open/inode_table.h"
#include "fs/open/kernel_pages.h"
#include "fs/open/mapped_files.h"
#include "fs/open/open_files.h"
#include "fs/open/orphan_inodes.h"
#include "fs/open/writer_watch.h"

namespace ckptfs {

// The table of open inodes of one mount, and the classes that work on it. Owned by the mount. Destroyed before
// the nodes, because its descriptors are of files in their volumes. All members are thread-safe.
struct OpenInodes {
  OpenInodes(Nodes& nodes, KernelCache& kernel)
      : slots_(nodes.slots),
        files(inodes, kernel, descriptors),
        mapped(inodes, files, nodes.slots, nodes.volumes),
        pages(kernel, files),
        writer_watch([this](Slot slot) { return !mapped.Writers(slot).empty(); },
                     [&nodes](const DetachedState& state) {
                       nodes.store.WritersGone(state.volume);
                       nodes.slots.Unpin(state.slot);
                     }) {
    slots_.OnEnd([this](Slot slot) { inodes.ForgetSlot(slot); });
  }
  ~OpenInodes() { slots_.OnEnd(nullptr); }
  OpenInodes(const OpenInodes&) = delete;
  OpenInodes& operator=(const OpenInodes&) = delete;

 private:
  SlotTable& slots_;

 public:
  DescriptorShares descriptors{DescriptorsForPrograms};
  InodeTable inodes;
  OpenFiles files;
  MappedFiles mapped;
  OrphanInodes orphans{inodes};
  // The members below have threads that use the ones above.
  KernelPages pages;
  WriterWatch writer_watch;
};

}  // namespace ckptfs
