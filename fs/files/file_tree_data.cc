// FileTree: open files and their data.
#include <fcntl.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "backend/base/proc_path.h"
#include "fs/files/file_tree_internal.h"
#include "fs/open/open_data.h"
#include "fs/processes/asking_thread.h"

namespace ckptfs {

bool IsOpenForWriting(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

namespace {

constexpr unsigned int kWriteOutNow =
    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

// A seek in a larger file may take long; in units of 512 bytes.
constexpr uint64_t kSeekBlocksMax = (uint64_t{64} << 20) / 512;

// chattr +i and +a: the kernel does not know these attributes of files on FUSE, and with passthrough it opens
// the backing file without checking them.
void RefuseProtected(const struct statx& status, int flags) {
  const bool only_appends = (flags & O_APPEND) != 0;
  if ((status.stx_attributes & STATX_ATTR_IMMUTABLE) != 0 ||
      ((status.stx_attributes & STATX_ATTR_APPEND) != 0 && !only_appends)) {
    throw Error(EPERM, "open a file for writing", "it is immutable or append-only");
  }
}

// Whether it may have more dirty data than is written in one piece.
bool IsLarge(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && status.st_size > Pieces::kFirstBytes;
}

// Calls `act` for one part of a regular file after another until it returns an errno; returns that errno.
template <typename Act>
int DoInPieces(int fd, Pieces& pieces, const Act& act) {
  constexpr off_t kPiecesMax = 4096;  // for a file that has little but its size
  struct stat status {};
  CheckSyscall(fstat(fd, &status), "look at a file");
  if (!S_ISREG(status.st_mode)) return 0;
  int failed = 0;
  for (off_t at = 0, piece = 0; at < status.st_size && failed == 0; at += piece) {
    if (pieces.is_long()) FreezeLock::BeforeLongWork();
    piece = std::max(pieces.bytes(), status.st_size / kPiecesMax);
    pieces.Do([&] { failed = act(at, piece); });
  }
  return failed;
}

}  // namespace

UniqueFd FileTree::OpenForAll(const Node& node) {
  if (!node.workspace) return OpenForData(node, O_RDONLY);
  try {
    return OpenForData(node, O_RDWR);
  } catch (const Error& error) {
    // Left behind by a rollback, and still open for reading.
    if (error.errno_value() == EROFS) return OpenForData(node, O_RDONLY);
    if (error.errno_value() != EPERM) throw;
  }
  try {
    return OpenForData(node, O_RDWR | O_APPEND);  // append-only
  } catch (const Error& error) {
    if (error.errno_value() != EPERM) throw;
  }
  return OpenForData(node, O_RDONLY);  // immutable
}

UniqueFd FileTree::OpenForData(const Node& node, int flags) {
  if (!node.volume) throw Error(ESTALE, "open a file", "its snapshot has been deleted");
  return OpenData(*node.volume, node.file, flags);
}

UniqueFd FileTree::OpenAnew(const Node& node, int flags) const {
  try {
    return OpenForData(node, flags);
  } catch (const Error& error) {
    // In a destroyed volume only open files can be reached.
    const auto held = error.errno_value() == ESTALE ? open_.files.AnyFd(node.id) : nullptr;
    if (!held) throw;
    return UniqueFd(
        CheckSyscall(open(ProcPath(held->get()).c_str(), flags | O_NONBLOCK | O_CLOEXEC),
                     "open a file of a deleted state anew"));
  }
}

bool FileTree::IsLeftBehind(const Node& node) {
  return node.view->kind == View::Kind::kLiveFiles && node.workspace->live()->files != node.view;
}

// Rejects an open by a file handle of a previous state. The kernel knows such a file if it is in use or,
// until the names are settled (SettlingNames), in any case, and opens it by handle without a lookup. An open
// by path found the file before the rollback, or through a descriptor that the caller holds.
void FileTree::RefuseOldHandle(const Node& node, const Caller& caller) {
  if (!IsLeftBehind(node) || SystemCallOf(caller.pid).number != SYS_open_by_handle_at) return;
  throw Error(ESTALE, "open a file", "a rollback has put another in its place");
}

OpenReply FileTree::Open(NodeId node_id, int flags, bool keep_set_id, const Caller& caller,
                         const InGroup& in_group) {
  const bool for_writing = IsOpenForWriting(flags);
  // An open for writing passes the freeze lock, so a rollback that looks for writers inside it misses none.
  std::optional<MutationGuard> change;
  Node node;
  if (for_writing || (flags & O_TRUNC) != 0) {
    // The kernel takes no lock to open a file, not even with O_TRUNC: others can write to it.
    change.emplace(BeginMutation(node_id, /*locked=*/0));
    node = change->node;
    // So the number of writers of a previous state only decreases, and once zero stays zero.
    if (IsLeftBehind(node)) {
      throw Error(ESTALE, "open a file for writing", "a rollback has put another in its place");
    }
  } else {
    node = resolver_.Resolve(node_id);
    RefuseOldHandle(node, caller);
  }
  UniqueFd path;
  bool may_pass_through = true;
  bool append_only = false;
  if (for_writing) {
    path = node.volume->OpenInode(node.file, O_PATH | O_NOFOLLOW);
    const struct statx status = StatxAt(path.get(), "");
    RefuseProtected(status, flags);
    append_only = (status.stx_attributes & STATX_ATTR_APPEND) != 0;
    may_pass_through = !HasSetId(status.stx_mode);
  }
  const FileOpener opener{
      .for_passthrough =
          [&] { return path.valid() ? std::move(path) : OpenForData(node, O_RDONLY); },
      .for_daemon = [&] { return OpenForAll(node); },
  };
  // Data that can change through a mapping or another node must not be cached in this node's pages.
  const bool may_use_page_cache = !for_writing && !mount_.options.strict_access_times &&
                                  (flags & (O_TRUNC | O_DIRECT | O_NOATIME)) == 0 &&
                                  !node.in_writing && !open_.mapped.LookAgain(node_id);
  const InGroupOf as(caller);  // the kernel keeps this thread's credentials for its writes
  OpenReply reply = open_.files.Open(node_id,
                                     {.for_writing = for_writing,
                                      .pid = caller.pid,
                                      .user = caller.uid,
                                      .may_pass_through = may_pass_through,
                                      .may_use_page_cache = may_use_page_cache,
                                      .append_only = append_only},
                                     opener);
  reply.uncached |= node.in_writing && reply.backing_id == 0;
  try {
    // The file could not be opened later if its state has been deleted, or were to be.
    if (!node.workspace || IsLeftBehind(node)) KeepReachable(node_id);
    // Last: if it fails, nothing has been changed.
    if ((flags & O_TRUNC) != 0) {
      change.reset();  // it counts as open, so a rollback finds it
      CutDown(node_id, {.by_descriptor = true, .keep_set_id = keep_set_id}, in_group);
      change.emplace(BeginMutation(node_id));
      node = change->node;
      const UniqueFd writable = OpenForData(node, O_WRONLY);
      const KeepSetIdOf keep(keep_set_id, writable.get(), in_group);
      CheckSyscall(ftruncate(writable.get(), 0), "truncate a file");
    }
  } catch (...) {
    open_.files.TakeBack(node_id, reply.handle);
    throw;
  }
  // From now on attributes must be requested each time (Timeout): drop the cached ones. Also the pages: no
  // open handle uses them.
  if (reply.first_writer && reply.backing_id != 0) {
    kernel_.InvalidateContent(node_id, 0);
  } else if (reply.first_writer) {
    kernel_.InvalidateAttributes(node_id);
  }
  return reply;
}

std::shared_ptr<const UniqueFd> FileTree::KeepReachable(NodeId node_id) const {
  if (auto fd = open_.files.DataFd(node_id)) return fd;
  return open_.files.GiveFd(node_id,
                            [&] { return OpenForData(resolver_.Resolve(node_id), O_RDONLY); });
}

void FileTree::KeepAllReachable(Slot slot) {
  for (const NodeId node : open_.files.WithoutFd(slot)) {
    try {
      KeepReachable(node);
    } catch (const std::exception& error) {
      spdlog::error("a file that is open can be read no longer: {}", error.what());
    }
  }
}

void FileTree::Release(NodeId node_id, uint64_t handle) {
  const bool was_last_writer = open_.files.Release(node_id, handle);
  if (OpenFiles::IsOfWriter(handle)) tidier_.Wake();  // for it may be mapped
  if (was_last_writer) open_.writer_watch.Released(SlotOf(node_id));
}

std::shared_ptr<const UniqueFd> FileTree::WriteFd(NodeId node_id, uint64_t handle) const {
  auto fd = open_.files.AppendFd(node_id, handle);
  return fd ? fd : DataFd(node_id);
}

std::shared_ptr<const UniqueFd> FileTree::DataFd(NodeId node_id) const {
  auto fd = KeepReachable(node_id);
  if (!fd) throw Error(EIO, "read or write a file that the kernel should serve itself");
  return fd;
}

std::shared_ptr<const UniqueFd> FileTree::ReadFd(NodeId node_id, uint64_t end) const {
  auto fd = DataFd(node_id);
  open_.files.NoteRead(node_id, end);
  return fd;
}

bool FileTree::LeavesGap(NodeId node_id, off_t offset) const noexcept {
  if (!open_.pages.Holds(node_id)) return false;
  const auto fd = open_.files.DataFd(node_id);
  struct stat status {};
  return fd && fstat(fd->get(), &status) == 0 && offset > status.st_size;
}

void FileTree::BeforeGrowth(NodeId node_id, off_t offset) const {
  const NodeFd fd = OpenPath(resolver_.Resolve(node_id));
  const auto size = static_cast<off_t>(StatxAt(fd.get(), "").stx_size);
  if (offset <= size) return;
  open_.pages.DropTail(node_id, size, [this, node_id] { PassGate(node_id); });
}

// The snapshot of a volume also flushes its data, but skips pages that are being written to. With a program
// that wrote constantly, 18 of 40 snapshots by btrfs's own ioctl had a state older than the program's last
// write before the snapshot, by up to 300 ms.
void FileTree::WriteOut(const std::vector<WriterHandle>& writers) {
  ForEachWritten(writers, [](int fd) {
    CheckSyscall(sync_file_range(fd, 0, 0, kWriteOutNow), "write out a file");
  });
}

void FileTree::WriteOutEarly(const std::vector<WriterHandle>& writers) {
  // A piece that takes longer to submit is large: wait for it before submitting more.
  static constexpr std::chrono::microseconds kLittle{500};
  Pieces pieces(&store_.backend().right_of_way());
  ForEachWritten(writers, [&pieces](int fd) {
    const int lost = DoInPieces(fd, pieces, [fd](off_t at, off_t size) {
      const auto begin = std::chrono::steady_clock::now();
      if (sync_file_range(fd, at, size, SYNC_FILE_RANGE_WRITE) != 0) return errno;
      if (std::chrono::steady_clock::now() - begin < kLittle) return 0;
      return sync_file_range(fd, at, size, SYNC_FILE_RANGE_WAIT_BEFORE) == 0 ? 0 : errno;
    });
    if (lost != 0) throw Error(lost, "write out a file");
  });
}

void FileTree::ForEachWritten(const std::vector<WriterHandle>& writers,
                              const std::function<void(int)>& act) {
  NodeId last = 0;
  for (const WriterHandle& writer : writers) {
    if (writer.node == std::exchange(last, writer.node)) continue;
    UniqueFd fd;
    try {
      fd = OpenForData(resolver_.Resolve(writer.node), O_RDONLY | O_NOATIME);
    } catch (const Error&) {
      continue;
    }
    act(fd.get());
  }
}

std::unique_ptr<FreezeLock::Pass> FileTree::PassGate(NodeId node_id) const {
  const std::shared_ptr<View> view = nodes_.slots.Find(SlotOf(node_id));
  if (!view || !view->workspace) return nullptr;
  return std::make_unique<FreezeLock::Pass>(view->workspace->freeze_lock(), node_id);
}

std::unique_ptr<FreezeLock::Approach> FileTree::ApproachFreezeLock(NodeId node_id) const {
  const std::shared_ptr<View> view = nodes_.slots.Find(SlotOf(node_id));
  if (!view || !view->workspace) return nullptr;
  return std::make_unique<FreezeLock::Approach>(view->workspace->freeze_lock(), node_id);
}

// For a file with much dirty data, in small pieces: a single fsync(2) puts all its writes ahead of the writes
// of others. Returns an errno; 0: success.
int FileTree::WriteOutInPieces(int fd, Pieces& pieces) {
  // One piece is always in flight while the previous one is waited for, so the disk stays busy.
  off_t before = 0;
  off_t before_size = 0;
  return DoInPieces(fd, pieces, [&](off_t at, off_t size) {
    if (sync_file_range(fd, at, size, SYNC_FILE_RANGE_WRITE) != 0) return errno;
    const bool is_first = before_size == 0;
    const int result =
        is_first ? 0 : sync_file_range(fd, before, before_size, SYNC_FILE_RANGE_WAIT_BEFORE);
    before = at;
    before_size = size;
    return result == 0 ? 0 : errno;
  });
}

void FileTree::SyncBy(NodeId node_id, uint64_t handle, int fd, bool data_only) const {
  Pieces pieces(&store_.backend().right_of_way());
  // An error that the kernel reports through one call is not reported again through the other.
  int lost = IsLarge(fd) ? WriteOutInPieces(fd, pieces) : 0;
  if (lost == 0) {
    if ((data_only ? fdatasync(fd) : fsync(fd)) == 0) return;
    lost = errno;
  }
  open_.files.NoteLostWrites(node_id, handle, lost);
  open_.files.TakeLostWrites(node_id, handle);  // reported now
  store_.backend().SuspectLostWrites();
  throw Error(lost, "sync a file");
}

// The kernel sends an FSYNC after a write through its page cache, but not after one that bypasses it (of an
// append-only file): then only the WRITE's flags say so.
void FileTree::SyncWritten(NodeId node_id, uint64_t handle, int fd, int flags) const {
  if ((flags & O_DSYNC) == 0 || !open_.files.IsUncached(node_id, handle)) return;
  constexpr int kBeyondData = O_SYNC & ~O_DSYNC;
  SyncBy(node_id, handle, fd, (flags & kBeyondData) == 0);
}

void FileTree::Sync(NodeId node_id, uint64_t handle, bool data_only) {
  const auto approach = ApproachFreezeLock(node_id);
  const UniqueFd fd = OpenAnew(resolver_.Resolve(node_id), O_RDONLY);
  SyncBy(node_id, handle, fd.get(), data_only);
  // A program that syncs one file before it writes to another finds this order in a checkpoint: this does not
  // return while a checkpoint is made. The sync may take long, so it is not done inside the freeze lock.
  PassGate(node_id);
  if (const int lost = open_.files.TakeLostWrites(node_id, handle); lost != 0) {
    throw Error(lost, "sync a file",
                "writes to it were lost; another program has already received this error");
  }
}

// In pieces, except what can only be done as a whole: moving what comes after the range, and failing for lack
// of space with nothing changed.
off_t FileTree::AllocationPiece(int fd, int mode, off_t length, const Pieces& pieces) {
  constexpr int kMoves = FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE;
  if ((mode & kMoves) != 0 || length <= pieces.bytes()) return length;
  struct statvfs space {};
  const bool gives_space = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
  if (!gives_space && (fstatvfs(fd, &space) != 0 ||
                       static_cast<uint64_t>(length) / space.f_frsize >= space.f_bavail)) {
    return length;
  }
  return pieces.bytes();
}

void FileTree::Allocate(NodeId node_id, int mode, off_t offset, off_t length, const Caller& caller,
                        const InGroup& in_group, bool holds_pages) {
  if (holds_pages) BeforeGrowth(node_id, offset + length);
  Pieces pieces(&store_.backend().right_of_way());
  if (length > pieces.bytes()) FreezeLock::BeforeLongWork();
  const auto approach = ApproachFreezeLock(node_id);
  for (off_t piece = 0; length > 0; offset += piece, length -= piece) {
    pieces.Do([&] {
      const MutationGuard change = BeginMutation(node_id);
      const UniqueFd fd = OpenAnew(change.node, O_RDWR);
      const KeepSetIdOf keep(caller.uid == 0, fd.get(), in_group);
      piece = AllocationPiece(fd.get(), mode, length, pieces);
      CheckSyscall(fallocate(fd.get(), mode, offset, piece), "allocate space in a file");
    });
  }
}

size_t FileTree::CopyPiece(const UniqueFd& from, off_t from_offset, NodeId to_id, off_t to_offset,
                           size_t length, const Caller& caller, const InGroup& in_group) {
  const MutationGuard change = BeginMutation(to_id);
  const UniqueFd to = OpenAnew(change.node, O_WRONLY);
  const KeepSetIdOf keep(caller.uid == 0, to.get(), in_group);
  return static_cast<size_t>(
      CheckSyscall(copy_file_range(from.get(), &from_offset, to.get(), &to_offset, length, 0),
                   "copy between files"));
}

size_t FileTree::CopyRange(NodeId from_id, off_t from_offset, NodeId to_id, off_t to_offset,
                           size_t length, const Caller& caller, const InGroup& in_group,
                           bool holds_pages) {
  // The rest is left to the next call, so a killed caller does not wait long.
  constexpr std::chrono::milliseconds kCallMax{100};
  constexpr size_t kShortBytes = size_t{64} << 10;
  constexpr off_t kBlockBytes = 4096;
  // If so, data is flushed first. The kernel would flush it too, but inside the freeze lock.
  const bool may_share = (from_offset | to_offset) % kBlockBytes == 0;
  if (holds_pages) BeforeGrowth(to_id, to_offset);
  if (may_share || length > kShortBytes) FreezeLock::BeforeLongWork();
  // Resolved before the freeze lock is passed: a snapshot whose data turns out to be missing is marked in the
  // store, whose lock a rollback holds while it waits for this freeze lock.
  const UniqueFd from = OpenAnew(resolver_.Resolve(from_id), O_RDONLY);
  const auto end = std::chrono::steady_clock::now() + kCallMax;
  const auto approach = ApproachFreezeLock(to_id);
  Pieces pieces(&store_.backend().right_of_way());
  size_t copied = 0;
  size_t last = 0;
  do {
    const auto at = static_cast<off_t>(copied);
    const size_t piece = std::min(length - copied, static_cast<size_t>(pieces.bytes()));
    if (may_share) {
      sync_file_range(from.get(), from_offset + at, static_cast<off_t>(piece), kWriteOutNow);
    }
    try {
      pieces.Do([&] {
        last = CopyPiece(from, from_offset + at, to_id, to_offset + at, piece, caller, in_group);
      });
    } catch (const Error&) {
      if (copied == 0) throw;
      break;  // the next call reports it again
    }
    copied += last;
  } while (last != 0 && copied < length && std::chrono::steady_clock::now() < end);
  return copied;
}

off_t FileTree::Seek(NodeId node_id, off_t offset, int whence, bool holds_pages) {
  // Data stored to the kernel's pages must not be reported as a hole.
  if (holds_pages) open_.pages.WriteBack(node_id);
  const UniqueFd fd = OpenAnew(resolver_.Resolve(node_id), O_RDONLY);
  // Seeking passes the extents one by one, of which there may be a million.
  if (StatxAt(fd.get(), "").stx_blocks > kSeekBlocksMax) FreezeLock::BeforeLongWork();
  return CheckSyscall(lseek(fd.get(), offset, whence), "seek in a file");
}

void FileTree::FlagsIoctl(NodeId node_id, unsigned long request, void* argument) {
  const bool changes = request == FS_IOC_SETFLAGS || request == FS_IOC_FSSETXATTR;
  std::optional<MutationGuard> change;
  if (changes) change.emplace(BeginMutation(node_id));
  const UniqueFd fd = OpenAnew(changes ? change->node : resolver_.Resolve(node_id), O_RDONLY);
  CheckSyscall(ioctl(fd.get(), request, argument),
               changes ? "change file flags" : "read file flags");
  if (!changes) return;
  open_.files.AttributesChanged(node_id);
  kernel_.InvalidateAttributes(node_id);  // for its ctime
}

}  // namespace ckptfs
