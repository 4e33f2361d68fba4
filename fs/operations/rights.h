// Who may do what: one answer for verbs by mkdir, rmdir and rename, and for `ckpt`.
#pragma once

#include "catalog/store/store.h"
#include "fs/operations/asker.h"

namespace ckptfs {

// What somebody wants to do. The manual's table (WHO MAY DO WHAT in ckptfs(7)) has a row for each.
enum class Right {
  kCheckpoint,
  kChangeSnapshot,   // delete, rename, pin, set the message or metadata
  kRollBack,         // give a workspace another state: its own snapshot's, or (promotion) another's
  kSetPolicy,        // of a workspace: as it decides what is deleted of everybody's
  kFork,             // of a snapshot of a workspace, into a new one
  kForget,           // remove a workspace with all its snapshots
  kCreateWorkspace,  // also from a template, or by taking in a tree
  kListWorkspaces,   // to be told their names
  kManageStore,      // fsck, templates
};

// What it is about, and what the kernel has checked already.
//
// The kernel checks a verb by the directories in which the names stand: the mount root, and the lists of
// snapshots and control files, which show owner, mode and ACL of their workspace's root. That decides for
// mkdir and rmdir. It cannot know that a rename over a workspace changes all that is in there, nor that an
// attribute of a snapshot is the workspace's affair; and who has opened a control file has passed no sticky
// bit, and may never have come by the mount root. Those are decided here.
struct RightSubject {
  const WorkspaceRecord* workspace = nullptr;  // whose root decides; none: only the mount root does
  const SnapshotRecord* snapshot = nullptr;
  bool may_write_workspace = false;   // the kernel has found that
  bool may_write_mount_root = false;  // and that, with its sticky bit
};

// Any thread may call these; they look at the workspace's root as it is now. User 0 has every right here:
// the kernel has the last word on what a container's root may open.
//
// Throws Error with what was tried and why not: EPERM where the sticky bit forbids it, else EACCES.
void RequireRight(Store& store, Right right, const Asker& asker, const RightSubject& subject);
// The same as a question.
bool HasRight(Store& store, Right right, const Asker& asker, const RightSubject& subject);

}  // namespace ckptfs
