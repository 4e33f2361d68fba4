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
  // -o strictatime: every read must reach the underlying files. The kernel then caches no content of small
  // files, directories and symbolic links.
  bool strict_access_times = false;
  // Live trees are read-only although the mount is not: set by the store's recovery. `ckpt fsck --repair`
  // clears this condition, so it must be able to open its control file for writing.
  bool refuse_changes = false;
};

// A file or directory in a volume, as a request names it.
struct Node {
  NodeId id = 0;
  std::shared_ptr<View> view;
  std::shared_ptr<LiveWorkspace> workspace;  // null: it is in a snapshot
  std::shared_ptr<Volume> volume;            // null: an open file of a deleted snapshot
  FileId file;                               // generation 0: any
  bool is_root = false;                      // of its volume
  // In a snapshot: handles from before a rollback can still write to its files, so the kernel must cache
  // nothing of them. Determined before anything is read.
  bool in_writing = false;
  // For a live directory: the slot of its entries that are not directories.
  std::shared_ptr<View> files;
};

// Owned by the mount; outlives every request. All members are thread-safe.
struct MountContext {
  MountContext(Store& store, KernelCache& kernel, MountOptions options, MountHelper& mount_helper);
  ~MountContext();
  MountContext(const MountContext&) = delete;
  MountContext& operator=(const MountContext&) = delete;

  // What a node id stands for now. Throws Error: ESTALE if it is no longer known, EIO if its data is missing.
  Node Resolve(NodeId node_id);
  // Marks the snapshot as missing in the store, asynchronously.
  void NoteMissing(int64_t snapshot_id);

  // A workspace's lists of snapshots have changed: invalidates what the kernel caches about them, which is
  // their times (they change with the snapshots) and their permissions (with the workspace's root). Request
  // handlers may call it.
  void ListsChanged(int64_t workspace_id) {
    for (const SnapDir place : kSnapDirs)
      kernel.InvalidateAttributes(ListNode(workspace_id, place));
  }

  // A workspace's name for messages: "?" if it is gone.
  std::string NameOf(int64_t workspace_id) const;

  // How long the kernel may cache names and attributes of volumes' files: for ever if they can be invalidated
  // at once, otherwise not at all.
  double KeepSeconds() const noexcept { return can_expire_names ? kForeverSeconds : 0; }

  // st_dev of the mount; set before requests are answered; 0: unknown.
  dev_t device = 0;
  Store& store;
  KernelCache& kernel;
  const MountOptions options;
  // Set once, when connected to the kernel: whether the kernel can be told to look up a name again.
  bool can_expire_names = false;
  // Counts switches of live trees to another volume; incremented after each switch.
  std::atomic<uint64_t> switches{0};
  std::atomic<int> stopped_walks{0};                     // LiveWorkspace::WalkStop
  DescriptorShares descriptors{DescriptorsForPrograms};  // before `inodes`, which uses it
  SlotTable slots;
  VolumeCache volumes;
  DirectoryFds directory_fds;
  LiveWorkspaces workspaces;
  InodeTable
      inodes;  // after the volumes: destroyed before them, because its descriptors are of their files
  OpenFiles open_files{inodes, kernel, descriptors};
  MappedFiles mapped{inodes, open_files, slots, volumes};
  OrphanInodes orphans{inodes};
  StaleNames stale_names;
  MountHelper& helper;
  WriteBarrier write_barrier;
  KernelInvalidator invalidator;
  SerialExecutor missing;  // for NoteMissing
  ElasticPool settlers;    // for SettlingNames
  // The members below have threads that use the ones above.
  KernelPages pages{kernel, open_files};
  WriterWatch writer_watch;
  PeriodicTimer tidier;  // of `mapped`, `directory_fds` and `volumes`
};

}  // namespace ckptfs
