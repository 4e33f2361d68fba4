// What all parts of one mount share.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "backend/base/elastic_pool.h"
#include "backend/base/periodic_timer.h"
#include "backend/base/serial_executor.h"
#include "catalog/store/store.h"
#include "fs/nodes/descriptor_limit.h"
#include "fs/nodes/descriptor_shares.h"
#include "fs/nodes/directory_fds.h"
#include "fs/nodes/kernel_cache.h"
#include "fs/nodes/kernel_invalidator.h"
#include "fs/nodes/live_workspace.h"
#include "fs/nodes/stale_names.h"
#include "fs/nodes/views.h"
#include "fs/open/inode_table.h"
#include "fs/open/kernel_pages.h"
#include "fs/open/mapped_files.h"
#include "fs/open/mount_helper.h"
#include "fs/open/open_files.h"
#include "fs/open/orphan_inodes.h"
#include "fs/open/write_barrier.h"
#include "fs/open/writer_watch.h"

namespace ckptfs {

enum class SnapshotDirectory { kHidden, kVisible, kOff };

struct MountOptions {
  std::string mountpoint;  // absolute
  SnapshotDirectory snapshot_directory = SnapshotDirectory::kHidden;
  bool detach_busy = false;  // -o busy=detach
  // -o strictatime: every read has to come to the files underneath. The kernel keeps no content then, of
  // small files, directories and symbolic links.
  bool strict_access_times = false;
  // Live trees are read-only although the mount is not: the store's recovery wants it so, and
  // `ckpt fsck --repair`, which changes that, must be able to open its control file for writing.
  bool refuse_changes = false;
};

// One file or directory that a volume holds, as a request names it.
struct Node {
  NodeId id = 0;
  std::shared_ptr<View> view;
  std::shared_ptr<LiveWorkspace> workspace;  // null: it is in a snapshot
  std::shared_ptr<Volume> volume;  // null: of a file that is open although its snapshot was deleted
  FileId file;                     // generation 0: any
  bool is_root = false;            // of its volume
  // In a snapshot: handles from before a rollback can still write to its files, so that the kernel
  // must keep nothing of them. Decided before anything is read.
  bool in_writing = false;
  // Of a live directory: the slot that its entries which are no directories have.
  std::shared_ptr<View> files;
};

// Owned by the mount; outlives every request. All members may be used by any thread.
struct MountContext {
  MountContext(Store& store, KernelCache& kernel, MountOptions options, MountHelper& mount_helper);
  ~MountContext();
  MountContext(const MountContext&) = delete;
  MountContext& operator=(const MountContext&) = delete;

  // What a node id stands for now. Throws Error: ESTALE if it is known no longer, EIO if its data
  // is missing.
  Node Resolve(NodeId node_id);
  // In the store, a moment later.
  void NoteMissing(int64_t snapshot_id);

  // The kernel may keep what it was told of a workspace's lists of snapshots until this says that it
  // has changed: their times with the snapshots, their permissions with those of the workspace's root.
  // Request handlers may call it.
  void ListsChanged(int64_t workspace_id) {
    for (const SnapDir place : kSnapDirs)
      kernel.InvalidateAttributes(ListNode(workspace_id, place));
  }

  // A workspace's name, for messages: "?" if it is gone.
  std::string NameOf(int64_t workspace_id) const;

  // How long the kernel may keep names and attributes of volumes' files: for ever where it can be
  // told otherwise at once, else not at all.
  double KeepSeconds() const noexcept { return can_expire_names ? kForeverSeconds : 0; }

  // st_dev of the mount; set before a request is answered, and 0 where it is not known.
  dev_t device = 0;
  Store& store;
  KernelCache& kernel;
  const MountOptions options;
  // Set once, when the connection to the kernel has been made: whether it can be told that a name is to
  // be looked up anew.
  bool can_expire_names = false;
  // Counts the times that some live tree was given another volume; counted after each.
  std::atomic<uint64_t> switches{0};
  std::atomic<int> stopped_walks{0};                     // LiveWorkspace::WalkStop
  DescriptorShares descriptors{DescriptorsForPrograms};  // before `inodes`, which have some
  SlotTable slots;
  VolumeCache volumes;
  DirectoryFds directory_fds;
  LiveWorkspaces workspaces;
  InodeTable
      inodes;  // after the volumes: it ends before them, and its descriptors are of their files
  OpenFiles open_files{inodes, kernel, descriptors};
  MappedFiles mapped{inodes, open_files, slots, volumes};
  OrphanInodes orphans{inodes};
  StaleNames stale_names;
  MountHelper& helper;
  WriteBarrier write_barrier;
  KernelInvalidator invalidator;
  SerialExecutor missing;  // NoteMissing
  ElasticPool settlers;    // SettlingNames
  // These have threads that use what is above.
  KernelPages pages{kernel, open_files};
  WriterWatch writer_watch;
  PeriodicTimer tidier;  // of `mapped`, `directory_fds` and `volumes`
};

}  // namespace ckptfs
