#include "fs/open/open_files.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <limits>
#include <utility>

#include "backend/base/error.h"
#include "fs/nodes/attributes.h"
#include "fs/nodes/descriptor_limit.h"

namespace ckptfs {
namespace {

// Seconds, also of those in which the machine was suspended.
int64_t NowInSeconds() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec;
}

// What is read in one request, and costs little to hold twice: here and underneath.
constexpr uint64_t kSmallBytesMax = 64 << 10;

// Of a descriptor that is kept as long as the file is open.
void RefuseReserved(const UniqueFd& fd) {
  if (IsReservedDescriptor(fd.get())) {
    throw Error(ENFILE, "open a file", "programs have too many files of this mount open");
  }
}

UniqueFd NotReserved(UniqueFd fd) {
  RefuseReserved(fd);
  return fd;
}

// A reader's handle tells whose it is, and is odd; a writer's is an address.
uint64_t ReaderHandle(uid_t user) { return uint64_t{user} << 1 | 1; }
uid_t UserOf(uint64_t reader_handle) { return static_cast<uid_t>(reader_handle >> 1); }

bool IsAppendOnly(const struct statx& status) {
  return (status.stx_attributes & STATX_ATTR_APPEND) != 0;
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

void OpenFiles::NoteOpener(File& file, uid_t user) {
  const auto known = std::find_if(file.openers.begin(), file.openers.end(),
                                  [user](const Opener& opener) { return opener.user == user; });
  if (known != file.openers.end()) {
    ++known->opens;
  } else {
    file.openers.push_back({.user = user, .opens = 1});
  }
}

void OpenFiles::NoteRelease(File& file, uid_t user) {
  const auto known = std::find_if(file.openers.begin(), file.openers.end(),
                                  [user](const Opener& opener) { return opener.user == user; });
  if (known == file.openers.end() || --known->opens > 0) return;
  file.openers.erase(known);
  if (file.openers.empty()) return;
  const uid_t other = file.openers.front().user;
  for (DescriptorClaim* const claim : {&file.claim, &file.append_claim}) {
    if (claim->user() == user) claim->PassTo(other);
  }
}

void OpenFiles::Remove(Shard& shard, std::unordered_map<NodeId, File>::iterator position) {
  const auto of_slot = shard.of_slot.find(SlotOf(position->first));
  if (of_slot != shard.of_slot.end()) {
    of_slot->second.erase(position->first);
    if (of_slot->second.empty()) shard.of_slot.erase(of_slot);
  }
  shard.files.erase(position);
}

template <typename Visit>
void OpenFiles::ForEach(Slot slot, const Visit& visit) const {
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    const auto of_slot = shard.of_slot.find(slot);
    if (of_slot == shard.of_slot.end()) continue;
    for (const NodeId node : of_slot->second) visit(node, shard.files.at(node));
  }
}

bool OpenFiles::PassThrough(File& file, UniqueFd& fd) {
  RefuseReserved(fd);
  const int id = kernel_.OpenBacking(fd.get());
  if (id > 0) {
    file.backing_id = id;
    file.path_fd = std::make_shared<const UniqueFd>(std::move(fd));
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

void OpenFiles::OpenFirst(NodeId node, File& file, const OpenWish& wish, const FileOpener& opener) {
  const bool may_cache = wish.may_use_page_cache && passthrough_;
  if (may_cache && small_.Contains(node)) return;
  UniqueFd fd;  // until the end: a file without a name lives by it
  bool has_set_id = false;
  if (passthrough_ && wish.may_pass_through) {
    fd = opener.for_passthrough();
    if (!wish.for_writing) {
      const struct statx status = StatxAt(fd.get(), "");
      file.append_only = IsAppendOnly(status);
      has_set_id = HasSetId(status.stx_mode);
      if (may_cache && !file.append_only && status.stx_size <= kSmallBytesMax) {
        file.data_fd = std::make_shared<const UniqueFd>(NotReserved(std::move(fd)));
        return;
      }
    }
    if (!file.append_only && !has_set_id && PassThrough(file, fd)) return;
  }
  file.data_fd = std::make_shared<const UniqueFd>(NotReserved(opener.for_daemon()));
  file.can_write = true;
  if (!wish.for_writing) file.append_only = IsAppendOnly(StatxAt(file.data_fd->get(), ""));
}

// The kernel drops its pages at an open that does not keep them, and what is read before that with them.
// Where nobody can have stored to them meanwhile, that is forgotten here now.
void OpenFiles::NotePagesAtOpen(File& file, bool keeps_pages) {
  if (keeps_pages && file.opens == 1) {
    file.read_end = std::numeric_limits<uint64_t>::max();
  } else if (!keeps_pages && file.writers.empty()) {
    file.read_end = 0;
  }
}

OpenReply OpenFiles::Open(NodeId node, const OpenWish& asked, const FileOpener& opener) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  OpenWish wish = asked;
  // Somebody may have opened, mapped and closed it since the caller looked: who closes a file says that
  // it may be mapped before it takes this lock.
  wish.may_use_page_cache = wish.may_use_page_cache && !opener.may_be_mapped();
  const auto [position, inserted] = shard.files.try_emplace(node);
  File& file = position->second;
  try {
    if (inserted) {
      file.claim = Claim(wish.user);
      shard.of_slot[SlotOf(node)].insert(node);
    }
    if (wish.append_only) {
      if (inserted) file.append_only = true;
      if (!file.append_fd) {
        DescriptorClaim claim = Claim(wish.user);
        file.append_fd = std::make_shared<const UniqueFd>(NotReserved(opener.for_daemon()));
        file.append_claim = std::move(claim);
      }
    } else if (inserted) {
      OpenFirst(node, file, wish, opener);
    }
    if (wish.for_writing && !wish.append_only && file.backing_id == 0 && !file.can_write) {
      file.data_fd = std::make_shared<const UniqueFd>(NotReserved(opener.for_daemon()));
      file.can_write = true;
    }
  } catch (...) {
    if (inserted) Remove(shard, position);
    throw;
  }
  NoteOpener(file, wish.user);
  ++file.opens;
  OpenReply reply{.backing_id = wish.append_only ? 0 : file.backing_id};
  reply.uncached = reply.backing_id == 0 && (wish.append_only || file.append_only);
  if (reply.backing_id == 0 && wish.may_use_page_cache && !reply.uncached) {
    small_.DropOld(NowInSeconds());
    reply.keeps_pages = small_.Contains(node);
    small_.Add(node);  // the kernel drops what it has, once
  }
  if (reply.backing_id == 0 && !reply.uncached) NotePagesAtOpen(file, reply.keeps_pages);
  reply.handle = ReaderHandle(wish.user);
  if (wish.for_writing) {
    reply.first_writer = file.writers.empty();
    file.writers.push_front({.node = node,
                             .pid = wish.pid,
                             .user = wish.user,
                             .through_daemon = reply.backing_id == 0,
                             .append_only = wish.append_only,
                             .uncached = reply.uncached});
    reply.handle = reinterpret_cast<uint64_t>(&file.writers.front());
    if (reply.backing_id != 0 || reply.uncached) small_.Remove(node);
  }
  return reply;
}

bool OpenFiles::Release(NodeId node, uint64_t handle) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  if (position == shard.files.end()) return false;
  File& file = position->second;
  bool last_writer = false;
  uid_t user = UserOf(handle);
  if (IsOfWriter(handle)) {
    file.writers.remove_if([handle, &user](const WriterHandle& writer) {
      const bool is_it = reinterpret_cast<uint64_t>(&writer) == handle;
      if (is_it) user = writer.user;
      return is_it;
    });
    last_writer = file.writers.empty();
  }
  NoteRelease(file, user);
  if (--file.opens == 0) {
    if (file.backing_id != 0) kernel_.CloseBacking(file.backing_id);
    Remove(shard, position);
  }
  return last_writer;
}

void OpenFiles::NoteNoCapability(NodeId node) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  if (position != shard.files.end()) position->second.no_capability = true;
}

void OpenFiles::MayHaveCapability(NodeId node) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  if (position != shard.files.end()) position->second.no_capability = false;
}

bool OpenFiles::HasNoCapability(NodeId node) const {
  const Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  return position != shard.files.end() && position->second.no_capability;
}

bool OpenFiles::IsOpen(NodeId node) const {
  const Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  return shard.files.contains(node);
}

bool OpenFiles::HasWriters(NodeId node) const {
  const Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  return position != shard.files.end() && !position->second.writers.empty();
}

bool OpenFiles::HasWritersOr(NodeId node, const std::function<bool()>& look) const {
  const Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  return (position != shard.files.end() && !position->second.writers.empty()) || look();
}

void OpenFiles::NoteLostWrites(NodeId node, uint64_t told, int errno_value) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  if (position == shard.files.end()) return;
  for (WriterHandle& writer : position->second.writers) {
    if (reinterpret_cast<uint64_t>(&writer) != told) writer.lost_writes = errno_value;
  }
}

int OpenFiles::TakeLostWrites(NodeId node, uint64_t handle) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  if (position == shard.files.end()) return 0;
  for (WriterHandle& writer : position->second.writers) {
    if (reinterpret_cast<uint64_t>(&writer) == handle) return std::exchange(writer.lost_writes, 0);
  }
  return 0;
}

void OpenFiles::AttributesChanged(NodeId node) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  small_.Remove(node);
}

bool OpenFiles::MayHoldPages(NodeId node) const {
  const Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  return position != shard.files.end() && position->second.backing_id == 0 &&
         !position->second.writers.empty();
}

void OpenFiles::NoteRead(NodeId node, uint64_t end) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  if (position == shard.files.end()) return;
  position->second.read_end = std::max(position->second.read_end, end);
}

bool OpenFiles::TakePagesRead(NodeId node, uint64_t begin) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  if (position == shard.files.end() || position->second.read_end <= begin) return false;
  position->second.read_end = begin;
  return true;
}

std::vector<WriterHandle> OpenFiles::Writers(Slot slot) const {
  std::vector<WriterHandle> writers;
  ForEach(slot, [&writers](NodeId /*node*/, const File& file) {
    writers.insert(writers.end(), file.writers.begin(), file.writers.end());
  });
  return writers;
}

std::vector<NodeId> OpenFiles::Nodes(Slot slot) const {
  std::vector<NodeId> nodes;
  ForEach(slot, [&nodes](NodeId node, const File& /*file*/) { nodes.push_back(node); });
  return nodes;
}

std::vector<NodeId> OpenFiles::WithoutFd(Slot slot) const {
  std::vector<NodeId> nodes;
  ForEach(slot, [&nodes](NodeId node, const File& file) {
    if (file.backing_id == 0 && !file.data_fd) nodes.push_back(node);
  });
  return nodes;
}

OpenFiles::File* OpenFiles::FindThroughDaemon(Shard& shard, NodeId node) {
  const auto position = shard.files.find(node);
  if (position == shard.files.end() || position->second.backing_id != 0) return nullptr;
  return &position->second;
}

std::shared_ptr<const UniqueFd> OpenFiles::GiveFd(NodeId node,
                                                  const std::function<UniqueFd()>& open) {
  Shard& shard = ShardOf(node);
  {
    const std::lock_guard lock(shard.mutex);
    const File* file = FindThroughDaemon(shard, node);
    if (file == nullptr) return nullptr;
    if (file->data_fd) return file->data_fd;
  }
  // Without the lock: it may have to look here whether the file is open.
  auto fd = std::make_shared<const UniqueFd>(open());
  const std::lock_guard lock(shard.mutex);
  File* file = FindThroughDaemon(shard, node);
  if (file == nullptr) return nullptr;
  if (!file->data_fd) file->data_fd = std::move(fd);  // else somebody else was first
  return file->data_fd;
}

std::shared_ptr<const UniqueFd> OpenFiles::AnyFd(NodeId node) const {
  const Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  if (position == shard.files.end()) return nullptr;
  const File& file = position->second;
  if (file.path_fd) return file.path_fd;
  return file.data_fd ? file.data_fd : file.append_fd;
}

std::shared_ptr<const UniqueFd> OpenFiles::AppendFd(NodeId node, uint64_t handle) const {
  const Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  if (position == shard.files.end()) return nullptr;
  for (const WriterHandle& writer : position->second.writers) {
    if (reinterpret_cast<uint64_t>(&writer) != handle) continue;
    return writer.append_only ? position->second.append_fd : nullptr;
  }
  return nullptr;
}

bool OpenFiles::IsUncached(NodeId node, uint64_t handle) const {
  const Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  if (position == shard.files.end()) return false;
  for (const WriterHandle& writer : position->second.writers) {
    if (reinterpret_cast<uint64_t>(&writer) == handle) return writer.uncached;
  }
  return false;
}

std::shared_ptr<const UniqueFd> OpenFiles::DataFd(NodeId node) const {
  const Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  return position == shard.files.end() ? nullptr : position->second.data_fd;
}

}  // namespace ckptfs
