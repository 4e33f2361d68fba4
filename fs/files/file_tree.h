// Ordinary files and directories: what the volumes hold.
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

#include "fs/files/mount_context.h"
#include "fs/nodes/attributes.h"
#include "fs/nodes/thread_credentials.h"
#include "fs/open/pieces.h"

namespace ckptfs {

// One entry of a listing. `entry` is there if attributes were asked for and could be had.
struct ListedName {
  const char* name = nullptr;
  uint64_t number = 0;  // st_ino
  mode_t type = 0;      // S_IFDIR, ...
  off_t next = 0;       // where to go on after it
  std::optional<Entry> entry;
};
// Returns false if there is no room for it.
using ListSink = std::function<bool(const ListedName&)>;

struct CreatedFile {
  Entry entry;
  OpenReply open;
};

// The operations of the kernel on files of live trees and snapshots. The kernel has checked
// permissions, types of nodes and lengths of names, and holds the locks of the directories
// concerned, as in any filesystem. Every function may be called by any thread and throws Error.
//
// Functions that change something fail with EROFS in a snapshot, and pass the workspace's freeze lock: a
// checkpoint sees all of the change or nothing. They look at the workspace only inside, as it may
// be switched to another volume while they wait.
class FileTree {
 public:
  explicit FileTree(MountContext& mount) : mount_(mount) {}

  // --- Names (file_tree_names.cc) ----------------------------------------------------------------
  Entry Lookup(NodeId parent, const char* name);
  Entry MakeNode(NodeId parent, const char* name, mode_t mode, dev_t device, const Caller& caller);
  Entry MakeDirectory(NodeId parent, const char* name, mode_t mode, const Caller& caller);
  Entry MakeSymlink(NodeId parent, const char* name, const char* target, const Caller& caller);
  Entry MakeLink(NodeId node, NodeId new_parent, const char* new_name);
  CreatedFile Create(NodeId parent, const char* name, mode_t mode, int flags, const Caller& caller);
  CreatedFile CreateUnnamed(NodeId parent, mode_t mode, int flags, const Caller& caller);
  // `user`: who pays for a descriptor that is kept of it (DescriptorShares).
  void Unlink(NodeId parent, const char* name, uid_t user);
  void RemoveDirectory(NodeId parent, const char* name, uid_t user);
  void Rename(NodeId parent, const char* name, NodeId new_parent, const char* new_name,
              unsigned int flags, const Caller& caller);
  // For file handles (file_tree_handles.cc): the node itself, which the kernel may have forgotten, unless it
  // is a root. ESTALE if what it stood for has gone, or has got another.
  Entry FindAgain(NodeId node);
  // The parent of a directory that is no root; nothing if that is the root.
  std::optional<Entry> FindParent(NodeId directory);
  // By what the kernel knows a file of a live tree.
  NodeHandle HandleOf(NodeId file) const;
  // The kernel knows `node` no longer by that many lookups.
  void Forget(NodeId node, uint64_t lookups);

  // --- Attributes (file_tree_attributes.cc) ------------------------------------------------------
  Attributes GetAttributes(NodeId node);
  struct statx GetStatx(NodeId node, double& timeout_s);
  // `holds_pages`, here and below: what KernelPages::Holds said of the node (of the one that is written
  // to). Then this may wait for other requests: not on a thread that these need.
  Attributes SetAttributes(NodeId node, const AttributeChange& change, const Caller& caller,
                           const InGroup& in_group, bool holds_pages);
  std::string ReadLink(NodeId node);
  // Empty if there is none of that name.
  std::optional<std::string> GetXattr(NodeId node, const char* name);
  std::string ListXattrs(NodeId node);
  void SetXattr(NodeId node, const char* name, std::string_view value, int flags,
                const Caller& caller, const InGroup& in_group, bool holds_pages);
  void RemoveXattr(NodeId node, const char* name);
  struct statvfs GetStatvfs();

  // --- Listings (file_tree_list.cc) --------------------------------------------------------------
  // Calls `sink` from position `offset` on until it has no more room or the directory ends.
  void List(NodeId directory, off_t offset, size_t size_hint, bool with_attributes,
            const ListSink& sink);

  // --- Data (file_tree_data.cc) ------------------------------------------------------------------
  // `keep_set_id`: that the caller may leave set-id bits to a file that it truncates (CAP_FSETID).
  OpenReply Open(NodeId node, int flags, bool keep_set_id, const Caller& caller,
                 const InGroup& in_group);
  void Release(NodeId node, uint64_t handle);
  // What is open of that slot can be read although its volume may be destroyed from now on.
  void KeepAllReachable(Slot slot);
  // Looks which of that slot's files that may be mapped still are.
  void ForgetUnmapped(Slot slot) const;
  // Looks at all such files that are new, and at some of the others, which can be as many as there is memory
  // for mappings: at the rest the next times. Returns whether any is left.
  bool ForgetSomeUnmapped() const;
  // Everything of that slot that somebody can write to without a further open: open handles, and
  // mappings whose handles are closed (their process is not known).
  std::vector<WriterHandle> Writers(Slot slot);
  // For files that the kernel does not read and write itself.
  std::shared_ptr<const UniqueFd> DataFd(NodeId node) const;
  // The same, to be read up to `end`.
  std::shared_ptr<const UniqueFd> ReadFd(NodeId node, uint64_t end) const;
  // The same for a write by that handle.
  std::shared_ptr<const UniqueFd> WriteFd(NodeId node, uint64_t handle) const;
  // Whether a write there leaves a gap after the end of a file of which the kernel holds pages. Then
  // BeforeGrowth comes first, with no freeze lock passed; it may wait for other requests.
  bool LeavesGap(NodeId node, off_t offset) const noexcept;
  void BeforeGrowth(NodeId node, off_t offset) const;
  // Hands all that has been written to these files so far to the disk, stores through mappings
  // included; a snapshot made later has it. Files that are gone count for nothing.
  void WriteOut(const std::vector<WriterHandle>& writers);
  // The same while all go on, and checkpoints of others go first: much can be left to be written.
  void WriteOutEarly(const std::vector<WriterHandle>& writers);
  // Keeps a write that comes to the daemon out of the moment of a checkpoint. Null for a file that
  // no freeze lock is before.
  std::unique_ptr<FreezeLock::Pass> PassGate(NodeId node) const;
  // For a call that holds the kernel's lock of that file and is long (FreezeLock::Approach). Null as above.
  std::unique_ptr<FreezeLock::Approach> ApproachFreezeLock(NodeId node) const;
  // What a write by that handle owes for O_DSYNC or O_SYNC among its flags, if any of them is.
  void SyncWritten(NodeId node, uint64_t handle, int fd, int flags) const;
  // By a handle of Open, or 0.
  void Sync(NodeId node, uint64_t handle, bool data_only);
  void Allocate(NodeId node, int mode, off_t offset, off_t length, const Caller& caller,
                const InGroup& in_group, bool holds_pages);
  // Perhaps less than `length`, where all of it takes long.
  size_t CopyRange(NodeId from, off_t from_offset, NodeId to, off_t to_offset, size_t length,
                   const Caller& caller, const InGroup& in_group, bool holds_pages);
  off_t Seek(NodeId node, off_t offset, int whence, bool holds_pages);
  // FS_IOC_GETFLAGS and its kin, which the kernel has checked: `argument` is in and out.
  void FlagsIoctl(NodeId node, unsigned long request, void* argument);

 private:
  // A descriptor (O_PATH, except for a root) of a directory.
  class Directory;
  class NodeFd;
  // How long the kernel may keep the attributes of a node. Made before they are read: what is
  // stored through a mapping that has gone when this looks for it must be in them.
  class Timeout;
  // A node that may be changed, with the freeze lock held.
  struct MutationGuard;

  MutationGuard BeginMutation(NodeId node);
  MutationGuard BeginMutation(NodeId node, NodeId locked);  // as FreezeLock::Pass has it
  Attributes AttributesBy(const Node& node, int fd) const;
  void ApplyAttributes(const Node& node, int fd, const AttributeChange& change,
                       const Caller& caller, const InGroup& in_group) const;
  void ApplySize(const Node& node, int fd, const AttributeChange& change,
                 const InGroup& in_group) const;
  // Before a file is made that short: cuts most of what goes off, outside of any freeze lock but piece by piece.
  static off_t EndAfterCut(int fd, off_t size, off_t end, off_t piece);
  void CutDown(NodeId node, const AttributeChange& change, const InGroup& in_group);
  static off_t AllocationPiece(int fd, int mode, off_t length, const Pieces& pieces);
  size_t CopyPiece(const UniqueFd& from, off_t from_offset, NodeId to, off_t to_offset,
                   size_t length, const Caller& caller, const InGroup& in_group);
  // Of a live tree's file: whether it belongs to a state that is the live one no longer.
  static bool IsLeftBehind(const Node& node);
  static void RefuseOldHandle(const Node& node, const Caller& caller);
  // A file that is about to lose its last name, held if the kernel may still ask for it.
  struct LastName;
  LastName HoldLastName(const Node& parent, int parent_fd, const char* name, uid_t user);
  // What is kept of a node that may be known no longer.
  void LetGo(NodeId node, const std::shared_ptr<View>& view);
  NodeFd OpenPath(const Node& node) const;
  static UniqueFd OpenForData(const Node& node, int flags);
  // The same of a file that somebody has open.
  UniqueFd OpenAnew(const Node& node, int flags) const;
  // For all opens of a file at once, where data goes through the daemon.
  static UniqueFd OpenForAll(const Node& node);
  // How long the kernel may keep a name in that directory, or that there is none.
  double NameSeconds(const Node& parent) const;
  // Says "no such name" if there is none.
  Entry MakeEntry(const Node& parent, int parent_fd, const char* name);
  Entry MakeEntry(const Node& parent, const struct statx& status, FileId id,
                  const Timeout& timeout);
  // Of a node with a lookup counted. `near`: a node of the same tree.
  Entry MakeEntry(const Node& near, NodeHandle handle, const struct statx& status,
                  const Timeout& timeout) const;
  static bool NeedsIdentity(const Node& near, mode_t mode);
  // Of a file that is no directory, or is a snapshot's; `volume` is the view's.
  static uint32_t GenerationOf(const View& view, const Volume& volume, FileId id);
  Entry MakeEntryOfNew(const Node& parent, int parent_fd, const char* name, int removal_flags);
  static void RemoveNew(int parent_fd, const char* name, int removal_flags) noexcept;
  bool IsMapped(NodeId node) const;
  bool IsOpenUnderneath(NodeId node) const;
  // The daemon's own descriptor of an open file, made now if there is none yet. Null if the kernel
  // passes its data through, and so keeps it reachable.
  std::shared_ptr<const UniqueFd> KeepReachable(NodeId node) const;
  void ForEachWritten(const std::vector<WriterHandle>& writers,
                      const std::function<void(int fd)>& act);
  static int WriteOutInPieces(int fd, Pieces& pieces);
  void SyncBy(NodeId node, uint64_t handle, int fd, bool data_only) const;
  CreatedFile FinishCreate(const MutationGuard& change, UniqueFd fd, int flags,
                           const Caller& caller);

  MountContext& mount_;
};

// The caller's bits of open(2) flags that decide whether it can write.
bool IsOpenForWriting(int flags);

}  // namespace ckptfs
