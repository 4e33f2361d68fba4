// Who may do what: one answer for verbs by mkdir, rmdir and rename, and for `ckpt`.
#pragma once

#include "catalog/store/store.h"
#include "fs/operations/asker.h"

namespace ckptfs {

// What a user wants to do. The manual's table (WHO MAY DO WHAT in ckptfs(7)) has a row for each.
enum class Right {
  kCheckpoint,
  kChangeSnapshot,   // delete, rename, pin, set the message or metadata
  kRollBack,         // give a workspace another state: its own snapshot's, or (promotion) another's
  kSetPolicy,        // of a workspace: decides which of all users' snapshots are deleted
  kFork,             // of a snapshot of a workspace, into a new one
  kForget,           // remove a workspace with all its snapshots
  kCreateWorkspace,  // also from a template or by importing a tree
  kListWorkspaces,   // to see their names
  kManageStore,      // fsck, gc, templates
};

// The subject of the right, and what the kernel has checked already.
//
// The kernel checks a verb against the directories that hold the names: the mount root, and the lists of
// snapshots and control files, which show owner, mode and ACL of their workspace's root. For mkdir and rmdir
// that suffices. But the kernel cannot know that a rename over a workspace changes everything in it, nor that
// a snapshot's attribute belongs to the workspace. And a caller that has a control file open has passed no
// sticky-bit check, and may never have crossed the mount root. Those cases are decided here.
struct RightSubject {
  const WorkspaceRecord* workspace = nullptr;  // whose root decides; null: only the mount root does
  const SnapshotRecord* snapshot = nullptr;
  bool may_write_workspace = false;   // the kernel has checked that
  bool may_write_mount_root = false;  // and that, including its sticky bit
};

// Thread-safe; they use the current state of the workspace's root. User 0 has every right here: the kernel
// decides what a container's root may open.
//
// Throws Error with what was tried and why it failed: EPERM if the sticky bit forbids it, else EACCES.
void RequireRight(Store& store, Right right, const Asker& asker, const RightSubject& subject);
// The same as a predicate.
bool HasRight(Store& store, Right right, const Asker& asker, const RightSubject& subject);

}  // namespace ckptfs
