// The regular files and directories that volumes hold.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/files/node_resolver.h"
#include "fs/files/tidier.h"
#include "fs/nodes/attributes.h"
#include "fs/nodes/kernel_cache.h"
#include "fs/nodes/mount_context.h"
#include "fs/nodes/nodes.h"
#include "fs/nodes/thread_credentials.h"
#include "fs/open/open_inodes.h"
#include "fs/open/pieces.h"

namespace ckptfs {

// One entry of a listing. `entry` is set if attributes were requested and could be read.
struct ListedName {
  const char* name = nullptr;
  uint64_t number = 0;  // st_ino
  mode_t type = 0;      // S_IFDIR, ...
  off_t next = 0;       // the position after it
  std::optional<Entry> entry;
};
// Returns false if the entry does not fit.
using ListSink = std::function<bool(const ListedName&)>;

struct CreatedFile {
  Entry entry;
  OpenReply open;
};

// The kernel's operations on files of live trees and snapshots. The kernel has checked permissions, node
// types and name lengths, and holds the locks of the directories concerned, as in any filesystem.
// Thread-safe; every function throws Error.
//
// Functions that change something fail with EROFS in a snapshot and pass the workspace's freeze lock, so that
// a checkpoint sees all of the change or nothing. They look up the workspace's volume only inside the lock,
// because it may be switched while they wait.
class FileTree {
 public:
  FileTree(const MountContext& mount, Nodes& nodes, OpenInodes& open, KernelCache& kernel,
           NodeResolver& resolver, Tidier& tidier)
      : mount_(mount),
        store_(nodes.store),
        nodes_(nodes),
        open_(open),
        kernel_(kernel),
        resolver_(resolver),
        tidier_(tidier) {}

  // --- Names (file_tree_names.cc) ----------------------------------------------------------------
  Entry Lookup(NodeId parent, const char* name);
  Entry MakeNode(NodeId parent, const char* name, mode_t mode, dev_t device, const Caller& caller);
  Entry MakeDirectory(NodeId parent, const char* name, mode_t mode, const Caller& caller);
  Entry MakeSymlink(NodeId parent, const char* name, const char* target, const Caller& caller);
  Entry MakeLink(NodeId node, NodeId new_parent, const char* new_name);
  CreatedFile Create(NodeId parent, const char* name, mode_t mode, int flags, const Caller& caller);
  CreatedFile CreateUnnamed(NodeId parent, mode_t mode, int flags, const Caller& caller);
  // `user` is charged for the descriptor if one is kept (DescriptorShares).
  void Unlink(NodeId parent, const char* name, uid_t user);
  void RemoveDirectory(NodeId parent, const char* name, uid_t user);
  void Rename(NodeId parent, const char* name, NodeId new_parent, const char* new_name,
              unsigned int flags, const Caller& caller);
  // For file handles (file_tree_handles.cc): the node itself, which the kernel may have forgotten unless it
  // is a root. ESTALE if its file has gone or its number has been reused.
  Entry FindAgain(NodeId node);
  // The parent of a directory that is not a root; empty if the parent is the root.
  std::optional<Entry> FindParent(NodeId directory);
  // The handle by which the kernel knows a file of a live tree.
  NodeHandle HandleOf(NodeId file) const;
  // The kernel drops that many lookups of `node`.
  void Forget(NodeId node, uint64_t lookups);

  // --- Attributes (file_tree_attributes.cc) ------------------------------------------------------
  Attributes GetAttributes(NodeId node);
  struct statx GetStatx(NodeId node, double& timeout_s);
  // `holds_pages`, here and below: the result of KernelPages::Holds for the node (for the one that is written
  // to). If true, this may wait for other requests: do not call it on a thread that they need.
  Attributes SetAttributes(NodeId node, const AttributeChange& change, const Caller& caller,
                           const InGroup& in_group, bool holds_pages);
  std::string ReadLink(NodeId node);
  // Empty if there is no attribute of that name.
  std::optional<std::string> GetXattr(NodeId node, const char* name);
  std::string ListXattrs(NodeId node);
  void SetXattr(NodeId node, const char* name, std::string_view value, int flags,
                const Caller& caller, const InGroup& in_group, bool holds_pages);
  void RemoveXattr(NodeId node, const char* name);
  struct statvfs GetStatvfs();

  // --- Listings (file_tree_list.cc) --------------------------------------------------------------
  // Calls `sink` for the entries from position `offset` until it is full or the directory ends.
  void List(NodeId directory, off_t offset, size_t size_hint, bool with_attributes,
            const ListSink& sink);

  // --- Data (file_tree_data.cc) ------------------------------------------------------------------
  // `keep_set_id`: whether truncation may keep set-id bits, because the caller has CAP_FSETID.
  OpenReply Open(NodeId node, int flags, bool keep_set_id, const Caller& caller,
                 const InGroup& in_group);
  void Release(NodeId node, uint64_t handle);
  // Open files of that slot can still be read after their volume is destroyed.
  void KeepAllReachable(Slot slot);
  // For files that the kernel does not read and write itself.
  std::shared_ptr<const UniqueFd> DataFd(NodeId node) const;
  // The same, for reading up to `end`.
  std::shared_ptr<const UniqueFd> ReadFd(NodeId node, uint64_t end) const;
  // The same, for a write through that handle.
  std::shared_ptr<const UniqueFd> WriteFd(NodeId node, uint64_t handle) const;
  // Whether a write at that offset leaves a gap after the end of a file with pages in the kernel's cache. If
  // so, call BeforeGrowth first, with no freeze lock passed; it may wait for other requests.
  bool LeavesGap(NodeId node, off_t offset) const noexcept;
  void BeforeGrowth(NodeId node, off_t offset) const;
  // Flushes all that has been written to these files so far, including stores through mappings, so that a
  // later snapshot has it. Files that are gone are ignored.
  void WriteOut(const std::vector<WriterHandle>& writers);
  // The same while changes continue; yields to checkpoints of others, because there may be much to write.
  void WriteOutEarly(const std::vector<WriterHandle>& writers);
  // Keeps a write through the daemon out of a running checkpoint. Null for a file without a freeze lock.
  std::unique_ptr<FreezeLock::Pass> PassGate(NodeId node) const;
  // For a long call that holds the kernel's lock of that file (FreezeLock::Approach). Null as above.
  std::unique_ptr<FreezeLock::Approach> ApproachFreezeLock(NodeId node) const;
  // Does the sync that O_DSYNC or O_SYNC requires after a write through that handle, if either is set.
  void SyncWritten(NodeId node, uint64_t handle, int fd, int flags) const;
  // `handle`: from Open, or 0.
  void Sync(NodeId node, uint64_t handle, bool data_only);
  void Allocate(NodeId node, int mode, off_t offset, off_t length, const Caller& caller,
                const InGroup& in_group, bool holds_pages);
  // Returns less than `length` if all of it would take long.
  size_t CopyRange(NodeId from, off_t from_offset, NodeId to, off_t to_offset, size_t length,
                   const Caller& caller, const InGroup& in_group, bool holds_pages);
  off_t Seek(NodeId node, off_t offset, int whence, bool holds_pages);
  // FS_IOC_GETFLAGS and the like, checked by the kernel: `argument` is input and output.
  void FlagsIoctl(NodeId node, unsigned long request, void* argument);

 private:
  // A descriptor (O_PATH, except for a root) of a directory.
  class Directory;
  class NodeFd;
  // How long the kernel may cache a node's attributes. Construct it before reading them: if it finds that a
  // mapping has gone, that mapping's stores must be in them.
  class Timeout;
  // A node that may be changed, with the freeze lock passed.
  struct MutationGuard;

  MutationGuard BeginMutation(NodeId node);
  MutationGuard BeginMutation(NodeId node, NodeId locked);  // `locked`: as for FreezeLock::Pass.
  Attributes AttributesBy(const Node& node, int fd) const;
  void ApplyAttributes(const Node& node, int fd, const AttributeChange& change,
                       const Caller& caller, const InGroup& in_group) const;
  void ApplySize(const Node& node, int fd, const AttributeChange& change,
                 const InGroup& in_group) const;
  // Before a file is truncated to that size: cuts off most of the excess in pieces. No freeze lock is held
  // between the pieces.
  static off_t EndAfterCut(int fd, off_t size, off_t end, off_t piece);
  void CutDown(NodeId node, const AttributeChange& change, const InGroup& in_group);
  static off_t AllocationPiece(int fd, int mode, off_t length, const Pieces& pieces);
  size_t CopyPiece(const UniqueFd& from, off_t from_offset, NodeId to, off_t to_offset,
                   size_t length, const Caller& caller, const InGroup& in_group);
  // Whether a live tree's file belongs to a previous state.
  static bool IsLeftBehind(const Node& node);
  static void RefuseOldHandle(const Node& node, const Caller& caller);
  // A file that is about to lose its last name, kept if the kernel may still request it.
  struct LastName;
  LastName HoldLastName(const Node& parent, int parent_fd, const char* name, uid_t user);
  // Releases what is kept for a node that the kernel may have forgotten.
  void LetGo(NodeId node, const std::shared_ptr<View>& view);
  NodeFd OpenPath(const Node& node) const;
  static UniqueFd OpenForData(const Node& node, int flags);
  // The same for an open file.
  UniqueFd OpenAnew(const Node& node, int flags) const;
  // One descriptor for all opens of a file whose data goes through the daemon.
  static UniqueFd OpenForAll(const Node& node);
  // How long the kernel may cache a name in that directory, or its absence.
  double NameSeconds(const Node& parent) const;
  // An entry that means "no such name" if there is none.
  Entry MakeEntry(const Node& parent, int parent_fd, const char* name);
  Entry MakeEntry(const Node& parent, const struct statx& status, FileId id,
                  const Timeout& timeout);
  // For a node with a lookup counted. `near`: a node of the same tree.
  Entry MakeEntry(const Node& near, NodeHandle handle, const struct statx& status,
                  const Timeout& timeout) const;
  static bool NeedsIdentity(const Node& near, mode_t mode);
  // For a file that is not a directory or is in a snapshot; `volume` is the view's.
  static uint32_t GenerationOf(const View& view, const Volume& volume, FileId id);
  Entry MakeEntryOfNew(const Node& parent, int parent_fd, const char* name, int removal_flags);
  static void RemoveNew(int parent_fd, const char* name, int removal_flags) noexcept;
  // The daemon's own descriptor of an open file, opened now if necessary. Null if the kernel passes the file
  // through, which keeps it reachable.
  std::shared_ptr<const UniqueFd> KeepReachable(NodeId node) const;
  void ForEachWritten(const std::vector<WriterHandle>& writers,
                      const std::function<void(int fd)>& act);
  static int WriteOutInPieces(int fd, Pieces& pieces);
  void SyncBy(NodeId node, uint64_t handle, int fd, bool data_only) const;
  CreatedFile FinishCreate(const MutationGuard& change, UniqueFd fd, int flags,
                           const Caller& caller);

  const MountContext& mount_;
  Store& store_;
  Nodes& nodes_;
  OpenInodes& open_;
  KernelCache& kernel_;
  NodeResolver& resolver_;
  Tidier& tidier_;
};

// Whether open(2) flags allow writing.
bool IsOpenForWriting(int flags);

}  // namespace ckptfs
