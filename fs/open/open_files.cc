#include "fs/open/open_files.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "backend/base/error.h"
#include "fs/nodes/attributes.h"
#include "fs/nodes/descriptor_limit.h"

namespace ckptfs {
namespace {

// Seconds, including time suspended.
int64_t NowInSeconds() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec;
}

// Small enough for one read request, and cheap to cache twice: here and underneath.
constexpr uint64_t kSmallBytesMax = 64 << 10;

// For a descriptor that is kept while the file is open.
void RefuseReserved(const UniqueFd& fd) {
  if (IsReservedDescriptor(fd.get())) {
    throw Error(ENFILE, "open a file", "programs have too many files of this mount open");
  }
}

UniqueFd NotReserved(UniqueFd fd) {
  RefuseReserved(fd);
  return fd;
}

// A reader's handle encodes the user and is odd; a writer's handle is an address.
uint64_t ReaderHandle(uid_t user) { return uint64_t{user} << 1 | 1; }
uid_t UserOf(uint64_t reader_handle) { return static_cast<uid_t>(reader_handle >> 1); }

bool IsAppendOnly(const struct statx& status) {
  return (status.stx_attributes & STATX_ATTR_APPEND) != 0;
}

std::shared_ptr<const UniqueFd> Shared(UniqueFd fd) {
  return std::make_shared<const UniqueFd>(std::move(fd));
}

}  // namespace

DescriptorClaim OpenFiles::Claim(uid_t user) {
  DescriptorClaim claim = shares_.Claim(user);
  if (!claim.valid()) {
    throw Error(ENFILE, "open a file",
                "this user's programs have too many files of this mount open");
  }
  return claim;
}

bool OpenFiles::PassThrough(OpenFile& file, UniqueFd& fd) {
  RefuseReserved(fd);
  const int id = kernel_.OpenBacking(fd.get());
  if (id > 0) {
    file.backing_id = id;
    file.path_fd = Shared(std::move(fd));
    return true;
  }
  if (id != -EPERM && id != -EOPNOTSUPP && id != -ENOTTY && id != -EINVAL) {
    throw Error(-id, "hand a file to the kernel for passthrough");
  }
  if (passthrough_.exchange(false)) {
    spdlog::warn("no passthrough ({}): data goes through the daemon, which is slower",
                 std::generic_category().message(-id));
  }
  return false;
}

// `is_small`: known from an earlier open.
void OpenFiles::OpenFirst(OpenFile& file, bool is_small, const OpenWish& wish,
                          const FileOpener& opener) {
  const bool may_cache = wish.may_use_page_cache && passthrough_;
  if (may_cache && is_small) return;
  UniqueFd fd;  // kept to the end: it keeps a file without a name alive
  bool has_set_id = false;
  if (passthrough_ && wish.may_pass_through) {
    fd = opener.for_passthrough();
    if (!wish.for_writing) {
      const struct statx status = StatxAt(fd.get(), "");
      file.append_only = IsAppendOnly(status);
      has_set_id = HasSetId(status.stx_mode);
      if (may_cache && !file.append_only && status.stx_size <= kSmallBytesMax) {
        file.data_fd = Shared(NotReserved(std::move(fd)));
        return;
      }
    }
    if (!file.append_only && !has_set_id && PassThrough(file, fd)) return;
  }
  file.data_fd = Shared(NotReserved(opener.for_daemon()));
  file.can_write = true;
  if (!wish.for_writing) file.append_only = IsAppendOnly(StatxAt(file.data_fd->get(), ""));
}

// Makes sure the file is open: the way it already is, or as `wish` says if this is the first open.
void OpenFiles::Reach(NodeId node, Inode& inode, InodeTable::Shard& shard, const OpenWish& wish,
                      const FileOpener& opener) {
  const bool is_first = !inode.open;
  if (is_first) {
    DescriptorClaim claim = Claim(wish.user);
    InodeTable::BeginOpen(shard, node, inode);
    inode.open->claim = std::move(claim);
    inode.open->append_only = wish.append_only;
    inode.open->no_capability = wish.is_new;
  }
  OpenFile& file = *inode.open;
  if (wish.append_only) {
    if (file.append_fd) return;
    DescriptorClaim claim = Claim(wish.user);
    file.append_fd = Shared(NotReserved(opener.for_daemon()));
    file.append_claim = std::move(claim);
    return;
  }
  if (is_first) OpenFirst(file, shard.small.Contains(node), wish, opener);
  if (wish.for_writing && file.backing_id == 0 && !file.can_write) {
    file.data_fd = Shared(NotReserved(opener.for_daemon()));
    file.can_write = true;
  }
}

OpenReply OpenFiles::Open(NodeId node, const OpenWish& asked, const FileOpener& opener) {
  InodeTable::Shard& shard = inodes_.ShardOf(node);
  const MutexLock lock(shard.mutex);
  Inode& inode = shard.inodes[node];
  OpenWish wish = asked;
  // The file may have been opened, mapped and closed since the caller checked.
  wish.may_use_page_cache = wish.may_use_page_cache && inode.maybe_mapped == 0;
  const bool was_open = inode.open.has_value();
  try {
    Reach(node, inode, shard, wish, opener);
  } catch (...) {
    if (!was_open && inode.open) InodeTable::EndOpen(shard, node, inode);
    InodeTable::RemoveIfUnused(shard, node);
    throw;
  }
  OpenFile& file = *inode.open;
  file.Add(wish.user);
  OpenReply reply{.backing_id = wish.append_only ? 0 : file.backing_id};
  reply.uncached = reply.backing_id == 0 && (wish.append_only || file.append_only);
  if (reply.backing_id == 0 && wish.may_use_page_cache && !reply.uncached) {
    shard.small.DropOld(NowInSeconds());
    reply.keeps_pages = shard.small.Contains(node);
    shard.small.Add(node);  // the kernel drops its pages, once
  }
  if (reply.backing_id == 0 && !reply.uncached) file.NotePages(reply.keeps_pages);
  reply.handle = ReaderHandle(wish.user);
  if (wish.for_writing) {
    reply.first_writer = file.writers.empty();
    reply.handle = file.AddWriter(node, wish, reply);
    if (reply.backing_id != 0 || reply.uncached) shard.small.Remove(node);
  }
  const bool is_nameless = inode.orphan && inode.orphan->link == Orphan::Link::kNotNeeded;
  if (is_nameless && !wish.is_new) {
    inodes_.SetLink(shard, node, inode, Orphan::Link::kImpossible);
  }
  return reply;
}

bool OpenFiles::End(NodeId node, uint64_t handle, bool may_be_mapped) {
  InodeTable::Shard& shard = inodes_.ShardOf(node);
  const MutexLock lock(shard.mutex);
  Inode* const inode = InodeTable::Find(shard, node);
  if (inode == nullptr || !inode->open) return false;
  OpenFile& file = *inode->open;
  bool last_writer = false;
  uid_t user = UserOf(handle);
  if (IsOfWriter(handle)) {
    if (may_be_mapped) inodes_.NoteMaybeMapped(shard, node, *inode);
    if (const auto writer = file.TakeWriter(handle)) user = writer->user;
    last_writer = file.writers.empty();
  }
  file.Remove(user);
  if (file.opens == 0) {
    if (file.backing_id != 0) kernel_.CloseBacking(file.backing_id);
    InodeTable::EndOpen(shard, node, *inode);
    InodeTable::RemoveIfUnused(shard, node);
  }
  return last_writer;
}

bool OpenFiles::Release(NodeId node, uint64_t handle) {
  return End(node, handle, /*may_be_mapped=*/true);
}

bool OpenFiles::TakeBack(NodeId node, uint64_t handle) {
  return End(node, handle, /*may_be_mapped=*/false);
}

// --- State of an open file -------------------------------------------------------------------------

template <typename Look>
auto OpenFiles::LookAt(NodeId node, const Look& look) const {
  using Result = decltype(look(std::declval<OpenFile&>()));
  InodeTable::Shard& shard = inodes_.ShardOf(node);
  const MutexLock lock(shard.mutex);
  OpenFile* const file = InodeTable::FindOpen(shard, node);
  return file == nullptr ? Result() : look(*file);
}

void OpenFiles::MayHaveCapability(NodeId node) {
  LookAt(node, [](OpenFile& file) { file.no_capability = false; });
}

bool OpenFiles::HasNoCapability(NodeId node) const {
  return LookAt(node, [](const OpenFile& file) { return file.no_capability; });
}

bool OpenFiles::IsOpen(NodeId node) const {
  return LookAt(node, [](const OpenFile& /*file*/) { return true; });
}

bool OpenFiles::HasWriters(NodeId node) const {
  return LookAt(node, [](const OpenFile& file) { return !file.writers.empty(); });
}

bool OpenFiles::HasWritersOr(NodeId node, const std::function<bool()>& look) const {
  InodeTable::Shard& shard = inodes_.ShardOf(node);
  const MutexLock lock(shard.mutex);
  const Inode* const inode = InodeTable::Find(shard, node);
  return (inode != nullptr && inode->HasWriters()) || look();
}

void OpenFiles::NoteLostWrites(NodeId node, uint64_t told, int errno_value) {
  LookAt(node, [told, errno_value](OpenFile& file) {
    for (WriterHandle& writer : file.writers) {
      if (reinterpret_cast<uint64_t>(&writer) != told) writer.lost_writes = errno_value;
    }
  });
}

int OpenFiles::TakeLostWrites(NodeId node, uint64_t handle) {
  return LookAt(node, [handle](OpenFile& file) {
    WriterHandle* const writer = file.Writer(handle);
    return writer == nullptr ? 0 : std::exchange(writer->lost_writes, 0);
  });
}

void OpenFiles::AttributesChanged(NodeId node) {
  InodeTable::Shard& shard = inodes_.ShardOf(node);
  const MutexLock lock(shard.mutex);
  shard.small.Remove(node);
}

bool OpenFiles::MayHoldPages(NodeId node) const {
  return LookAt(node,
                [](const OpenFile& file) { return file.backing_id == 0 && !file.writers.empty(); });
}

void OpenFiles::NoteRead(NodeId node, uint64_t end) {
  LookAt(node, [end](OpenFile& file) { file.read_end = std::max(file.read_end, end); });
}

bool OpenFiles::TakePagesRead(NodeId node, uint64_t begin) {
  return LookAt(node, [begin](OpenFile& file) {
    if (file.read_end <= begin) return false;
    file.read_end = begin;
    return true;
  });
}

// --- Nodes of a slot -------------------------------------------------------------------------------

template <typename Visit>
void OpenFiles::ForEach(Slot slot, const Visit& visit) const {
  for (InodeTable::Shard& shard : inodes_.shards()) {
    const MutexLock lock(shard.mutex);
    const auto of_slot = shard.of_slot.find(slot);
    if (of_slot == shard.of_slot.end()) continue;
    for (const NodeId node : of_slot->second.open) visit(node, *shard.inodes.at(node).open);
  }
}

std::vector<WriterHandle> OpenFiles::Writers(Slot slot) const {
  std::vector<WriterHandle> writers;
  ForEach(slot, [&writers](NodeId /*node*/, const OpenFile& file) {
    writers.insert(writers.end(), file.writers.begin(), file.writers.end());
  });
  return writers;
}

std::vector<NodeId> OpenFiles::Nodes(Slot slot) const {
  std::vector<NodeId> nodes;
  ForEach(slot, [&nodes](NodeId node, const OpenFile& /*file*/) { nodes.push_back(node); });
  return nodes;
}

std::vector<NodeId> OpenFiles::WithoutFd(Slot slot) const {
  std::vector<NodeId> nodes;
  ForEach(slot, [&nodes](NodeId node, const OpenFile& file) {
    if (file.backing_id == 0 && !file.data_fd) nodes.push_back(node);
  });
  return nodes;
}

// --- Descriptors -----------------------------------------------------------------------------------

std::shared_ptr<const UniqueFd> OpenFiles::GiveFd(NodeId node,
                                                  const std::function<UniqueFd()>& open) {
  bool needs_fd = false;
  auto known = LookAt(node, [&needs_fd](const OpenFile& file) {
    needs_fd = file.backing_id == 0 && !file.data_fd;
    return file.backing_id == 0 ? file.data_fd : nullptr;
  });
  if (!needs_fd) return known;
  // Without the lock: `open` may have to check here whether the file is open.
  auto fd = Shared(open());
  return LookAt(node, [&fd](OpenFile& file) {
    if (file.backing_id != 0) return std::shared_ptr<const UniqueFd>();
    if (!file.data_fd) file.data_fd = std::move(fd);  // otherwise another thread was first
    return file.data_fd;
  });
}

std::shared_ptr<const UniqueFd> OpenFiles::AnyFd(NodeId node) const {
  return LookAt(node, [](const OpenFile& file) { return file.any_fd(); });
}

std::shared_ptr<const UniqueFd> OpenFiles::AppendFd(NodeId node, uint64_t handle) const {
  return LookAt(node, [handle](OpenFile& file) {
    const WriterHandle* const writer = file.Writer(handle);
    return writer != nullptr && writer->append_only ? file.append_fd : nullptr;
  });
}

bool OpenFiles::IsUncached(NodeId node, uint64_t handle) const {
  return LookAt(node, [handle](OpenFile& file) {
    const WriterHandle* const writer = file.Writer(handle);
    return writer != nullptr && writer->uncached;
  });
}

std::shared_ptr<const UniqueFd> OpenFiles::DataFd(NodeId node) const {
  return LookAt(node, [](const OpenFile& file) { return file.data_fd; });
}

}  // namespace ckptfs
