// The directories that no volume holds: the mount root and the lists of snapshots.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fs/files/file_tree.h"
#include "fs/files/mount_context.h"
#include "fs/nodes/attributes.h"
#include "fs/nodes/thread_credentials.h"
#include "fs/operations/asker.h"
#include "fs/operations/mount_verbs.h"
#include "fs/snapshots/snapshot_xattrs.h"

namespace ckptfs {

// The mount root, .snapshots, .snapshots/W and W/.snapshots with what stands in them (`latest`,
// `.live`, control files), and the root directories of snapshots as far as the catalog describes
// them: `ls -l` of a list touches no volume. Turns mkdir, rmdir and rename here into verbs.
//
// A list of snapshots belongs to whoever owns the workspace: it shows the owner, mode and ACL of
// the workspace's root, so the kernel lets those make and delete snapshots who may write there. What it
// cannot know is asked of fs/operations/rights.h.
//
// The kernel keeps the names of workspaces, lists and snapshots, where it can be told otherwise; that there
// is none of a name it asks every time. Several places show the same thing, and the kernel moves
// directories in its own books when a rename means a rollback: see StaleNames.
//
// Every function may be called by any thread and throws Error.
class SnapshotTree {
 public:
  SnapshotTree(MountContext& mount, MountVerbs& verbs) : mount_(mount), verbs_(verbs) {}

  // True if this class, not FileTree, answers for the attributes and xattrs of that node.
  bool Owns(NodeId node) const;
  // True for nodes whose attributes are told here: those, and the root of a workspace whose data is
  // missing.
  bool TellsAttributesOf(NodeId node) const;
  // True for a name that is reserved in that directory of a volume: LookupReserved answers.
  bool IsReserved(NodeId parent, const char* name) const;

  Entry Lookup(NodeId parent, const char* name);
  Entry LookupReserved(NodeId parent, const char* name);
  // For file handles (snapshot_tree_handles.cc): a node, of volumes too, that the kernel may have forgotten,
  // and the directory that one is in. They wait for a look at another name of the mount, perhaps. ESTALE if
  // what the node stood for has gone.
  Entry FindAgain(NodeId node);
  Entry FindParent(NodeId node);
  Attributes GetAttributes(NodeId node);
  Attributes SetAttributes(NodeId node, const AttributeChange& change);
  std::string ReadLink(NodeId node) const;
  // Empty if there is none of that name.
  std::optional<std::string> GetXattr(NodeId node, const char* name);
  std::string ListXattrs(NodeId node);
  // The value, found good: before the verb is waited for.
  static SnapshotXattrValue CheckXattr(NodeId node, const char* name, std::string_view value);
  void SetXattr(NodeId node, const SnapshotXattrValue& value, int flags, const Asker& asker);
  void RemoveXattr(NodeId node, const char* name);
  void List(NodeId directory, off_t offset, bool with_attributes, const ListSink& sink);
  // Of the mount's root: writes out all that programs have written to the workspaces, in the place of
  // syncfs(2), of which the kernel tells nobody. What verbs do is on the disk when they return.
  void Sync(NodeId directory) const;

  Entry MakeDirectory(NodeId parent, const char* name, mode_t mode, const Caller& caller);
  void RemoveDirectory(NodeId parent, const char* name);
  // Whether a rename between these can be a verb. All others are refused at once: one that waited behind
  // verbs would hold locks of a workspace's directories.
  static bool IsVerb(NodeId parent, NodeId new_parent);
  // A rename in which at least one of the parents is owned by this class, or a snapshot's.
  void Rename(NodeId parent, const char* name, NodeId new_parent, const char* new_name,
              unsigned int flags, const Asker& asker);

  // The workspace in whose lists that node is, or of whose snapshots it is one; 0: none.
  int64_t WorkspaceOf(NodeId node) const;
  // Of a rename between directories of this class, the list of snapshots; the root if there is none.
  static NodeId ListOf(NodeId parent, NodeId new_parent);

  // The workspace that a control file belongs to; empty: the whole mount. Nothing at all (outer
  // optional) if the node is no control file.
  std::optional<std::optional<int64_t>> ControlScope(NodeId node) const;

 private:
  struct SnapshotList {
    WorkspaceRecord workspace;
    SnapDir place = SnapDir::kRoot;
  };

  std::optional<SnapshotList> ListAt(NodeId directory) const;
  WorkspaceRecord WorkspaceById(int64_t id) const;
  // Throws ESTALE if it has been removed.
  std::shared_ptr<LiveWorkspace> LiveWorkspaceAt(int64_t workspace_id) const;
  // The snapshot whose root directory a node is.
  SnapshotRecord SnapshotAt(NodeId node) const;

  Entry EntryOfWorkspace(const WorkspaceRecord& record);
  Entry EntryOfSnapshot(const SnapshotRecord& record, SnapDir place);
  Entry EntryOfVirtual(NodeId node);
  // Of a directory that is there as long as its workspace: the kernel may keep its name.
  Entry EntryOfList(NodeId node);
  Entry RootAgain(const View& view);
  Entry VirtualAgain(NodeId node);
  Entry ParentOfVirtual(NodeId node);
  // Where a directory lies that no listing shows, in words for MountHelper::LookUp; empty for others.
  std::string HiddenPath(NodeId node) const;
  Entry LookupInMountRoot(const char* name);
  Entry LookupInAllSnapshots(const char* name);
  Entry LookupInList(const SnapshotList& list, const char* name);
  NodeId LiveNode(const SnapshotList& list) const;

  void ListWorkspaces(NodeId directory, off_t offset, bool with_attributes, const ListSink& sink);
  void ListSnapshots(const SnapshotList& list, off_t offset, bool with_attributes,
                     const ListSink& sink);

  // Owner, mode and ACL of a workspace's root, as its lists and control file show them.
  RootAttributes RootOf(int64_t workspace_id) const;
  Attributes VirtualDirectory(NodeId node, const RootAttributes& root, int64_t time_ns) const;
  Attributes RootOfSnapshot(const SnapshotRecord& record) const;
  // Of a workspace whose data is missing.
  Attributes RootWithoutData(const WorkspaceRecord& record) const;
  void RenameSnapshot(const SnapshotList& list, const char* name, NodeId new_parent,
                      const char* new_name, unsigned int flags, const Asker& asker);
  void RenameToMountRoot(const SnapshotRecord& snapshot, SnapDir place, const char* new_name,
                         unsigned int flags, const Asker& asker);

  MountContext& mount_;
  MountVerbs& verbs_;
};

}  // namespace ckptfs
