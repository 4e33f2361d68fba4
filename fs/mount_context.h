// What all parts of one mount share.
#pragma once

#include <memory>
#include <string>

#include "catalog/store.h"
#include "fs/kernel_cache.h"
#include "fs/live_workspace.h"
#include "fs/mapped_files.h"
#include "fs/nameless_files.h"
#include "fs/notifier.h"
#include "fs/open_files.h"
#include "fs/views.h"

namespace ckptfs {

enum class SnapshotDirectory { kHidden, kVisible, kOff };

struct MountOptions {
  std::string mountpoint;  // absolute
  SnapshotDirectory snapshot_directory = SnapshotDirectory::kHidden;
  bool detach_busy = false;  // -o busy=detach
  // Live trees are read-only although the mount is not: the store's recovery wants it so, and
  // `ckpt fsck --repair`, which changes that, must be able to open its control file for writing.
  bool refuse_changes = false;
};

// One file or directory that a volume holds, as a request names it.
struct Node {
  NodeId id = 0;
  std::shared_ptr<View> view;
  std::shared_ptr<LiveWorkspace> workspace;  // null: it is in a snapshot
  std::shared_ptr<Volume> volume;
  FileId file;           // generation 0: any
  bool is_root = false;  // of its volume
  // Of a live directory: the slot that its entries which are no directories have.
  std::shared_ptr<View> files;
};

// Owned by the mount; outlives every request. All members may be used by any thread.
struct MountContext {
  MountContext(Store& store, KernelCache& kernel, MountOptions options);

  // What a node id stands for now. Throws Error: ESTALE if it is known no longer, EIO if its data
  // is missing.
  Node Resolve(NodeId node_id);

  // How long the kernel may keep names and attributes of volumes' files: for ever where it can be
  // told otherwise at once, else not at all.
  double KeepSeconds() const noexcept { return can_expire_names ? kForeverSeconds : 0; }

  Store& store;
  KernelCache& kernel;
  const MountOptions options;
  // Set once, when the connection to the kernel has been made.
  bool can_expire_names = false;
  SlotTable slots;
  VolumeCache volumes;
  LiveWorkspaces workspaces;
  OpenFiles open_files;
  NamelessFiles nameless;
  MappedFiles mapped;
  Notifier notifier;
};

}  // namespace ckptfs
