// The directories outside of any volume: the mount root and the lists of snapshots.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fs/files/file_tree.h"
#include "fs/nodes/attributes.h"
#include "fs/nodes/thread_credentials.h"
#include "fs/operations/asker.h"
#include "fs/operations/invalidation.h"
#include "fs/operations/mount_verbs.h"
#include "fs/snapshots/snapshot_xattrs.h"

namespace ckptfs {

// The mount root, .snapshots, .snapshots/W and W/.snapshots with their contents (`latest`, `.live`, control
// files), and the root directories of snapshots as far as the catalog describes them: `ls -l` of a list reads
// no volume. Turns mkdir, rmdir and rename here into verbs.
//
// A list of snapshots belongs to the owner of the workspace. It shows owner, mode and ACL of the workspace's
// root, so users who may write there may make and delete snapshots: the kernel checks that.
// fs/operations/rights.h decides what the kernel cannot know.
//
// The kernel caches the names of workspaces, lists and snapshots where they can be invalidated; it never
// caches negative entries. The same thing appears in several places, and the kernel moves directories in its
// dcache when a rename is a rollback: see StaleNames.
//
// All functions are thread-safe and throw Error.
class SnapshotTree {
 public:
  SnapshotTree(const MountContext& mount, Nodes& nodes, Invalidation& invalidation, FileTree& files,
               MountVerbs& verbs)
      : mount_(mount),
        store_(nodes.store),
        nodes_(nodes),
        invalidation_(invalidation),
        files_(files),
        verbs_(verbs) {}

  // Whether this class, not FileTree, answers for the attributes and xattrs of that node.
  bool Owns(NodeId node) const;
  // Whether this class returns the node's attributes: for nodes that it owns, and for the root of a workspace
  // whose data is missing.
  bool TellsAttributesOf(NodeId node) const;
  // Whether the name is reserved in that directory of a volume: LookupReserved answers.
  bool IsReserved(NodeId parent, const char* name) const;

  Entry Lookup(NodeId parent, const char* name);
  Entry LookupReserved(NodeId parent, const char* name);
  // For file handles (snapshot_tree_handles.cc): a node, also of a volume, that the kernel may have
  // forgotten, and its parent directory. They may wait for a lookup of another name in the mount. ESTALE if
  // what the node stood for is gone.
  Entry FindAgain(NodeId node);
  Entry FindParent(NodeId node);
  Attributes GetAttributes(NodeId node);
  Attributes SetAttributes(NodeId node, const AttributeChange& change);
  std::string ReadLink(NodeId node) const;
  // Empty if there is no such xattr.
  std::optional<std::string> GetXattr(NodeId node, const char* name);
  std::string ListXattrs(NodeId node);
  // The validated value. Called before waiting for the verb.
  static SnapshotXattrValue CheckXattr(NodeId node, const char* name, std::string_view value);
  void SetXattr(NodeId node, const SnapshotXattrValue& value, int flags, const Asker& asker);
  void RemoveXattr(NodeId node, const char* name);
  void List(NodeId directory, off_t offset, bool with_attributes, const ListSink& sink);
  // Writes all data of the workspaces to disk, for fsync(2) of the mount root. It stands in for syncfs(2),
  // which the kernel does not forward. The results of verbs are on disk when they return.
  void Sync(NodeId directory) const;

  Entry MakeDirectory(NodeId parent, const char* name, mode_t mode, const Caller& caller);
  void RemoveDirectory(NodeId parent, const char* name);
  // Whether a rename between these directories can be a verb. All others are refused at once: waiting behind
  // verbs, they would hold locks of a workspace's directories.
  static bool IsVerb(NodeId parent, NodeId new_parent);
  // A rename of which at least one parent is owned by this class or belongs to a snapshot.
  void Rename(NodeId parent, const char* name, NodeId new_parent, const char* new_name,
              unsigned int flags, const Asker& asker);

  // The workspace whose lists the node is in, or whose snapshot it belongs to; 0: none.
  int64_t WorkspaceOf(NodeId node) const;
  // For a rename between directories of this class: the list of snapshots; the mount root if neither is one.
  static NodeId ListOf(NodeId parent, NodeId new_parent);

  // The workspace that a control file belongs to; empty: the whole mount. The outer optional is empty if the
  // node is not a control file.
  std::optional<std::optional<int64_t>> ControlScope(NodeId node) const;

 private:
  struct SnapshotList {
    WorkspaceRecord workspace;
    SnapDir place = SnapDir::kRoot;
  };

  std::optional<SnapshotList> ListAt(NodeId directory) const;
  WorkspaceRecord WorkspaceById(int64_t id) const;
  // Throws ESTALE if the workspace has been removed.
  std::shared_ptr<LiveWorkspace> LiveWorkspaceAt(int64_t workspace_id) const;
  // The snapshot whose root directory a node is.
  SnapshotRecord SnapshotAt(NodeId node) const;

  Entry EntryOfWorkspace(const WorkspaceRecord& record);
  Entry EntryOfSnapshot(const SnapshotRecord& record, SnapDir place);
  Entry EntryOfVirtual(NodeId node);
  // For a directory that exists as long as its workspace: the kernel may cache its name.
  Entry EntryOfList(NodeId node);
  Entry RootAgain(const View& view);
  Entry VirtualAgain(NodeId node);
  Entry ParentOfVirtual(NodeId node);
  // The path of a directory that no listing shows, for MountHelper::LookUp; empty for others.
  std::string HiddenPath(NodeId node) const;
  Entry LookupInMountRoot(const char* name);
  Entry LookupInAllSnapshots(const char* name);
  Entry LookupInList(const SnapshotList& list, const char* name);
  NodeId LiveNode(const SnapshotList& list) const;

  void ListWorkspaces(NodeId directory, off_t offset, bool with_attributes, const ListSink& sink);
  void ListSnapshots(const SnapshotList& list, off_t offset, bool with_attributes,
                     const ListSink& sink);

  // Owner, mode and ACL of a workspace's root, as shown by its lists and control file.
  RootAttributes RootOf(int64_t workspace_id) const;
  Attributes VirtualDirectory(NodeId node, const RootAttributes& root, int64_t time_ns) const;
  Attributes RootOfSnapshot(const SnapshotRecord& record) const;
  // For a workspace whose data is missing.
  Attributes RootWithoutData(const WorkspaceRecord& record) const;
  void RenameSnapshot(const SnapshotList& list, const char* name, NodeId new_parent,
                      const char* new_name, unsigned int flags, const Asker& asker);
  void RenameToMountRoot(const SnapshotRecord& snapshot, SnapDir place, const char* new_name,
                         unsigned int flags, const Asker& asker);

  const MountContext& mount_;
  Store& store_;
  Nodes& nodes_;
  Invalidation& invalidation_;
  FileTree& files_;
  MountVerbs& verbs_;
};

}  // namespace ckptfs
