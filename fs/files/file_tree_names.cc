// FileTree: looking up, creating, renaming and removing names.
#include <fcntl.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/base/failpoint.h"
#include "catalog/store/unlinked_directory.h"
#include "catalog/trees/names.h"
#include "fs/files/file_tree_internal.h"

namespace ckptfs {
namespace {

// In units of 512 bytes. The space of a larger file that is not open is freed at once, because it may be
// needed immediately and the kernel's FORGET comes a little later.
constexpr uint64_t kKeptBlocksMax = 2048;
// A larger file may take long to remove.
constexpr uint64_t kLongBlocks = 8192;

// Names in a workspace's root that are reserved for ckptfs; users cannot create them.
void RefuseReservedName(const Node& parent, const char* name) {
  if (parent.is_root && IsReservedInWorkspace(name)) {
    throw Error(EPERM, std::string("make ") + name, "the name is reserved for ckptfs",
                "Choose another name");
  }
}

// The kernel has already decided whether a requested set-group-id bit may be set.
bool KeepsSetGid(mode_t mode) { return (mode & S_ISGID) != 0; }

}  // namespace

FileTree::MutationGuard FileTree::BeginMutation(NodeId node) { return BeginMutation(node, node); }

FileTree::MutationGuard FileTree::BeginMutation(NodeId node, NodeId locked) {
  const std::shared_ptr<View> view = nodes_.slots.Find(SlotOf(node));
  if (!view) throw Error(ESTALE, "find a file");
  if (!view->workspace) throw Error(EROFS, "change a file of a snapshot");
  if (mount_.options.refuse_changes) {
    throw Error(EROFS, "change a file", "the catalog is older than the store",
                "Run ckpt fsck --repair");
  }
  MutationGuard change{
      .pass = std::make_unique<FreezeLock::Pass>(view->workspace->freeze_lock(), locked),
      .node = {}};
  change.node = resolver_.Resolve(node);
  if (change.node.volume->HasStopped()) {
    throw Error(ENOSPC, "change a file", "the workspace has stopped for want of space",
                "See 'ckpt status'");
  }
  // A file of a previous state: its writers continue to use it there. A caller that came by a name got the
  // previous state a moment ago and must look it up again, which ESTALE makes the kernel do.
  if (IsLeftBehind(change.node) && !open_.files.HasWriters(node)) {
    throw Error(ESTALE, "change a file", "a rollback has put another in its place");
  }
  return change;
}

double FileTree::NameSeconds(const Node& parent) const {
  const bool keeps = !parent.in_writing && (!parent.workspace || parent.workspace->KeepsNames());
  return keeps ? mount_.KeepSeconds() : 0;
}

bool FileTree::NeedsIdentity(const Node& near, mode_t mode) {
  return S_ISDIR(mode) || (near.workspace && near.volume->ReusesInodeNumbers());
}

uint32_t FileTree::GenerationOf(const View& view, const Volume& volume, FileId id) {
  const bool is_needed = view.workspace && volume.ReusesInodeNumbers();
  return is_needed ? view.generation ^ id.generation : view.generation;
}

Entry FileTree::MakeEntry(const Node& near, NodeHandle handle, const struct statx& status,
                          const Timeout& timeout) const {
  const View& view = near.workspace && !S_ISDIR(status.stx_mode) ? *near.files : *near.view;
  Entry entry{.node = handle.node, .generation = handle.generation};
  entry.attributes.stat = StatOf(status, MakeNumber(view.number, status.stx_ino));
  entry.attributes.timeout_s = timeout.Of(entry.node);
  entry.entry_timeout_s = NameSeconds(near);
  return entry;
}

Entry FileTree::MakeEntry(const Node& parent, const struct statx& status, FileId id,
                          const Timeout& timeout) {
  const bool is_directory = S_ISDIR(status.stx_mode);
  if (parent.workspace && is_directory) {
    return MakeEntry(parent, parent.workspace->AcquireDirectory(id), status, timeout);
  }
  const View& view = parent.workspace ? *parent.files : *parent.view;
  const NodeHandle handle{.node = MakeNumber(view.slot, status.stx_ino),
                          .generation = GenerationOf(view, *parent.volume, id)};
  nodes_.slots.Count(view);
  return MakeEntry(parent, handle, status, timeout);
}

Entry FileTree::MakeEntry(const Node& parent, int parent_fd, const char* name) {
  const Timeout timeout(*this, parent.in_writing);
  struct statx status {};
  if (!(parent.workspace ? open_.orphans.Stat(*parent.files, parent_fd, name, &status)
                         : StatxIfThere(parent_fd, name, &status))) {
    return Entry{.entry_timeout_s = NameSeconds(parent)};
  }
  FileId id;
  if (NeedsIdentity(parent, status.stx_mode)) {
    id = parent.volume->Identify(parent_fd, name);
    // A revalidation holds no lock: the name may have been given to another file meanwhile.
    if (id.inode != status.stx_ino) throw Error(ESTALE, "look up a name that is being changed");
  }
  return MakeEntry(parent, status, id, timeout);
}

Entry FileTree::Lookup(NodeId parent_id, const char* name) {
  const Node parent = resolver_.Resolve(parent_id);
  // Only in a snapshot: in the live tree, which has none, SnapshotTree answers.
  if (parent.is_root && name == kUnlinkedName && !HasUnlinkedFiles(*parent.volume)) {
    return Entry{.entry_timeout_s = NameSeconds(parent)};
  }
  return MakeEntry(parent, Directory(*this, parent).fd(), name);
}

// The entry of a name just created, which is removed again if this fails. Nothing has seen the name yet: the
// kernel holds the directory's lock, and a checkpoint waits at the freeze lock.
Entry FileTree::MakeEntryOfNew(const Node& parent, int parent_fd, const char* name,
                               int removal_flags) {
  try {
    Failpoint("make.before-entry");
    return MakeEntry(parent, parent_fd, name);
  } catch (...) {
    RemoveNew(parent_fd, name, removal_flags);
    throw;
  }
}

void FileTree::RemoveNew(int parent_fd, const char* name, int removal_flags) noexcept {
  if (unlinkat(parent_fd, name, removal_flags) == 0) return;
  spdlog::error("{} was made by a call that then failed, and cannot be removed: {}", name,
                std::generic_category().message(errno));
}

Entry FileTree::MakeNode(NodeId parent_id, const char* name, mode_t mode, dev_t device,
                         const Caller& caller) {
  const MutationGuard change = BeginMutation(parent_id);
  RefuseReservedName(change.node, name);
  const Directory directory(*this, change.node);
  {
    const KeepSetId keep(KeepsSetGid(mode));
    const ActAs as(caller);
    CheckSyscall(mknodat(directory.fd(), name, mode, device), "make a node");
  }
  return MakeEntryOfNew(change.node, directory.fd(), name, 0);
}

Entry FileTree::MakeDirectory(NodeId parent_id, const char* name, mode_t mode,
                              const Caller& caller) {
  const MutationGuard change = BeginMutation(parent_id);
  RefuseReservedName(change.node, name);
  const Directory directory(*this, change.node);
  {
    const KeepSetId keep(KeepsSetGid(mode));
    const ActAs as(caller);
    CheckSyscall(mkdirat(directory.fd(), name, mode), "make a directory");
  }
  return MakeEntryOfNew(change.node, directory.fd(), name, AT_REMOVEDIR);
}

Entry FileTree::MakeSymlink(NodeId parent_id, const char* name, const char* target,
                            const Caller& caller) {
  const MutationGuard change = BeginMutation(parent_id);
  RefuseReservedName(change.node, name);
  const Directory directory(*this, change.node);
  {
    const ActAs as(caller);
    CheckSyscall(symlinkat(target, directory.fd(), name), "make a symlink");
  }
  return MakeEntryOfNew(change.node, directory.fd(), name, 0);
}

Entry FileTree::MakeLink(NodeId node_id, NodeId new_parent, const char* new_name) {
  const MutationGuard change = BeginMutation(new_parent);
  RefuseReservedName(change.node, new_name);
  const std::shared_ptr<View> view = nodes_.slots.Find(SlotOf(node_id));
  if (view && !view->workspace) throw Error(EXDEV, "link a file of a snapshot");
  const Node node = resolver_.Resolve(node_id);
  if (node.volume != change.node.volume) {
    // A rollback came between the two path walks of link(2): the kernel repeats them on ESTALE.
    if (node.workspace == change.node.workspace) {
      throw Error(ESTALE, "link a file", "a rollback has put another in its place");
    }
    throw Error(EXDEV, "link a file into another workspace");
  }
  const Directory directory(*this, change.node);
  const NodeFd fd = OpenPath(node);
  // If the file had no name, from now on only the new name keeps it.
  const bool had_name = !open_.orphans.Contains(node_id);
  open_.orphans.GiveName(node_id, *node.volume, fd.get(), [&] {
    CheckSyscall(linkat(fd.get(), "", directory.fd(), new_name, AT_EMPTY_PATH), "link a file");
  });
  return had_name ? MakeEntryOfNew(change.node, directory.fd(), new_name, 0)
                  : MakeEntry(change.node, directory.fd(), new_name);
}

CreatedFile FileTree::FinishCreate(const MutationGuard& change, UniqueFd fd, int flags,
                                   const Caller& caller) {
  CreatedFile created;
  // What the kernel is told now stays true until it is invalidated: before anything can be stored through a
  // mapping, the file must be given a size, after which the kernel requests attributes again.
  const Timeout timeout(*this, change.node.in_writing);
  const struct statx status = StatxAt(fd.get(), "");
  FileId id{.inode = status.stx_ino};
  if (NeedsIdentity(change.node, status.stx_mode)) id = change.node.volume->Identify(fd.get(), "");
  created.entry = MakeEntry(change.node, status, id, timeout);
  const bool for_writing = IsOpenForWriting(flags);
  try {
    const FileOpener opener{
        // The kernel keeps this descriptor while the file is open, for reading too: if it could write, it
        // would be taken for a writer all that time (IsOpenUnderneath).
        .for_passthrough = [&] { return change.node.volume->OpenInode(id, O_PATH | O_NOFOLLOW); },
        .for_daemon = [&] { return std::move(fd); },
    };
    const InGroupOf as(caller);
    created.open =
        open_.files.Open(created.entry.node,
                         {.for_writing = for_writing,
                          .pid = caller.pid,
                          .user = caller.uid,
                          .may_pass_through = !HasSetId(created.entry.attributes.stat.st_mode),
                          .is_new = true},
                         opener);
  } catch (...) {
    Forget(created.entry.node, 1);
    throw;
  }
  return created;
}

CreatedFile FileTree::Create(NodeId parent_id, const char* name, mode_t mode, int flags,
                             const Caller& caller) {
  const MutationGuard change = BeginMutation(parent_id);
  RefuseReservedName(change.node, name);
  const Directory directory(*this, change.node);
  UniqueFd fd;
  {
    const KeepSetId keep(KeepsSetGid(mode));
    const ActAs as(caller);
    // The kernel sends this only for a name that does not exist, with the directory locked. If it does exist,
    // its permissions have not been checked: the kernel must look it up again.
    fd.Reset(openat(directory.fd(), name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    mode & ~S_IFMT));
  }
  if (!fd.valid()) {
    if (errno == EEXIST && (flags & O_EXCL) == 0) throw Error(ESTALE, "create a file");
    ThrowErrno("create a file");
  }
  try {
    return FinishCreate(change, std::move(fd), flags, caller);
  } catch (...) {
    RemoveNew(directory.fd(), name, 0);
    throw;
  }
}

CreatedFile FileTree::CreateUnnamed(NodeId parent_id, mode_t mode, int flags,
                                    const Caller& caller) {
  const MutationGuard change = BeginMutation(parent_id);
  const Directory directory(*this, change.node);
  UniqueFd fd;
  {
    const KeepSetId keep(KeepsSetGid(mode));
    const ActAs as(caller);
    // O_EXCL (the file must never get a name) is enforced by the kernel on its own inode. Here it would
    // prevent a checkpoint from linking the file.
    fd.Reset(
        CheckSyscall(openat(directory.fd(), ".", O_RDWR | O_TMPFILE | O_CLOEXEC, mode & ~S_IFMT),
                     "create an unnamed file"));
  }
  CreatedFile created = FinishCreate(change, std::move(fd), flags, caller);
  const NodeId node = created.entry.node;
  try {
    open_.orphans.AddUnnamed(
        node, {.directory = change.node.file, .name = "#" + std::to_string(InodeOf(node))});
  } catch (...) {
    open_.files.TakeBack(node, created.open.handle);
    Forget(node, 1);
    throw;
  }
  return created;
}

// On disk before a removal: the name. After it: nothing or, for an open file, its hidden link;
// OrphanInodes::Removal describes the states in between. Other processes see the name, and then its absence
// or what replaced it. The kernel holds the locks of the directory and of the file, so only this changes the
// file's links here.
struct FileTree::LastName {
  NodeId directory = 0;        // the directory being removed; 0: it is a file
  NodeId node = 0;             // 0: not its last name, or cannot be kept
  std::shared_ptr<View> view;  // of the node
  FormerName place;
  UniqueFd fd;            // none for a large file: only its last name is kept
  DescriptorClaim claim;  // for `fd`, if it is to be kept
  // For a file that is not to be kept: closing this deletes the file, which may take seconds. So it is closed
  // after the freeze lock is released.
  UniqueFd removed;
  std::unique_ptr<OrphanInodes::Removal> removal;  // of an open file

  // Called once the name has been removed; it must not make the call fail.
  void Done(FileTree& files) noexcept {
    try {
      Keep(files);
    } catch (const std::exception& error) {
      spdlog::error("a file that is still in use after its last name has gone: {}", error.what());
    }
  }

 private:
  void Keep(FileTree& files) {
    if (directory != 0 && view) view->workspace->directories().Remove(directory);
    const bool linked = removal && removal->linked();
    if (removal) removal->Done();
    removal.reset();
    if (linked || node == 0 || !view) return;
    // A rollback releases the view of the previous state: this keeps its slot from being reused meanwhile.
    if (!files.nodes_.slots.TryCount(*view)) return;  // the node can no longer be requested
    files.open_.orphans.NameGone(node, std::move(fd), std::move(claim), std::move(place));
    files.nodes_.slots.Forget(view->slot, 1);
  }
};

FileTree::LastName FileTree::HoldLastName(const Node& parent, int parent_fd, const char* name,
                                          uid_t user) {
  LastName last;
  struct statx status {};
  if (statx(parent_fd, name, AT_SYMLINK_NOFOLLOW,
            STATX_TYPE | STATX_NLINK | STATX_INO | STATX_BLOCKS, &status) != 0) {
    return last;  // the operation will fail, or replaces nothing
  }
  const bool is_directory = S_ISDIR(status.stx_mode);
  const NodeId node = is_directory ? 0 : MakeNumber(parent.files->slot, status.stx_ino);
  if (!is_directory && status.stx_nlink > 1) {
    const bool has_hidden_link = status.stx_nlink == 2 && open_.orphans.HasLink(node);
    if (!has_hidden_link) return last;
  }
  if (is_directory) {
    const FileId id = parent.volume->Identify(parent_fd, name);
    nodes_.directory_fds.Drop(*parent.volume, id.inode);
    last.directory = parent.workspace->AcquireDirectory(id).node;
    last.view = nodes_.slots.Find(SlotOf(last.directory));
    Forget(last.directory, 1);
  }
  // Too many open files: the file goes with its name.
  last.fd.Reset(openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!last.fd.valid()) return last;
  last.node = is_directory ? last.directory : node;
  if (!is_directory) last.view = parent.files;
  last.place = {.directory = parent.file, .name = name};
  const bool is_file = S_ISREG(status.stx_mode);
  const bool is_open = is_file && (open_.files.IsOpen(node) || open_.mapped.LookAgain(node));
  if (is_open) {
    last.removal =
        std::make_unique<OrphanInodes::Removal>(open_.orphans, node, *parent.volume, last.fd.get(),
                                                DirectoryPathIn(*parent.volume, parent_fd) + name);
    return last;
  }
  const bool is_large = is_file && status.stx_blocks > kKeptBlocksMax;
  if (is_large && status.stx_blocks > kLongBlocks) FreezeLock::BeforeLongWork();
  if (!is_large) last.claim = open_.descriptors.Claim(user);
  if (!last.claim.valid()) last.removed = std::move(last.fd);
  return last;
}

void FileTree::Unlink(NodeId parent_id, const char* name, uid_t user) {
  UniqueFd removed;  // closed last
  const MutationGuard change = BeginMutation(parent_id);
  const Directory directory(*this, change.node);
  LastName last = HoldLastName(change.node, directory.fd(), name, user);
  removed = std::move(last.removed);
  CheckSyscall(unlinkat(directory.fd(), name, 0), "remove a file");
  last.Done(*this);
}

void FileTree::RemoveDirectory(NodeId parent_id, const char* name, uid_t user) {
  const MutationGuard change = BeginMutation(parent_id);
  const Directory directory(*this, change.node);
  LastName last = HoldLastName(change.node, directory.fd(), name, user);
  CheckSyscall(unlinkat(directory.fd(), name, AT_REMOVEDIR), "remove a directory");
  last.Done(*this);
}

void FileTree::Rename(NodeId parent_id, const char* name, NodeId new_parent_id,
                      const char* new_name, unsigned int flags, const Caller& caller) {
  UniqueFd removed;  // the replaced file; closed last
  const MutationGuard change = BeginMutation(parent_id);
  const Node new_parent = resolver_.Resolve(new_parent_id);
  if (!new_parent.workspace) throw Error(EROFS, "move a file into a snapshot");
  if (new_parent.volume != change.node.volume) {
    throw Error(EXDEV, "move a file to another workspace");
  }
  RefuseReservedName(new_parent, new_name);
  if ((flags & RENAME_EXCHANGE) != 0) RefuseReservedName(change.node, name);
  const Directory from(*this, change.node);
  const Directory to(*this, new_parent);
  LastName last;
  if ((flags & (RENAME_NOREPLACE | RENAME_EXCHANGE)) == 0) {
    last = HoldLastName(new_parent, to.fd(), new_name, caller.uid);
    removed = std::move(last.removed);
  }
  std::optional<ActAs> as;
  if ((flags & RENAME_WHITEOUT) != 0) as.emplace(caller);  // it creates a file
  CheckSyscall(renameat2(from.fd(), name, to.fd(), new_name, flags), "rename a file");
  last.Done(*this);
  new_parent.workspace->NoteMovedName(new_parent_id, new_name);
  if ((flags & RENAME_EXCHANGE) != 0) change.node.workspace->NoteMovedName(parent_id, name);
}

void FileTree::Forget(NodeId node, uint64_t lookups) {
  const Slot slot = SlotOf(node);
  const std::shared_ptr<View> view = nodes_.slots.Find(slot);
  if (!view) return;
  try {
    LetGo(node, view);
  } catch (const std::exception& error) {
    // The kernel has forgotten it all the same, so it is counted.
    spdlog::error("a file that the kernel has forgotten: {}", error.what());
  }
  if (view->kind == View::Kind::kLiveDirectories && InodeOf(node) != kRootInode) {
    view->workspace->directories().Forget(node, lookups);
  }
  nodes_.slots.Forget(slot, lookups);
}

void FileTree::LetGo(NodeId node, const std::shared_ptr<View>& view) {
  Failpoint("forget.before-all");
  open_.orphans.Forget(node, view);
  // Some lookups may remain (one that a full listing takes back): only what is no longer mapped is dropped,
  // which applies to every node that the kernel has forgotten.
  open_.mapped.LookAgain(node);
}

}  // namespace ckptfs
