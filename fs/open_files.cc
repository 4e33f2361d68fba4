#include "fs/open_files.h"

#include <spdlog/spdlog.h>

#include <cerrno>
#include <utility>

#include "backend/base/error.h"
#include "fs/attributes.h"

namespace ckptfs {
namespace {

// What is read in one request, and costs little to hold twice: here and underneath.
constexpr uint64_t kSmallBytesMax = 64 << 10;

}  // namespace

bool OpenFiles::PassThrough(File& file, UniqueFd& fd) {
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
  if (passthrough_ && wish.may_pass_through) {
    fd = opener.for_passthrough();
    if (may_cache && StatxAt(fd.get(), "").stx_size <= kSmallBytesMax) {
      file.data_fd = std::make_shared<const UniqueFd>(std::move(fd));
      return;
    }
    if (PassThrough(file, fd)) return;
  }
  file.data_fd = std::make_shared<const UniqueFd>(opener.for_daemon());
  file.can_write = true;
}

OpenReply OpenFiles::Open(NodeId node, const OpenWish& wish, const FileOpener& opener) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto [position, inserted] = shard.files.try_emplace(node);
  File& file = position->second;
  try {
    if (inserted) OpenFirst(node, file, wish, opener);
    if (wish.for_writing && file.backing_id == 0 && !file.can_write) {
      file.data_fd = std::make_shared<const UniqueFd>(opener.for_daemon());
      file.can_write = true;
    }
  } catch (...) {
    if (inserted) shard.files.erase(position);
    throw;
  }
  ++file.opens;
  OpenReply reply{.backing_id = file.backing_id};
  if (file.backing_id == 0 && wish.may_use_page_cache) {
    reply.keeps_pages = small_.Contains(node);
    small_.Add(node);  // the kernel drops what it has, once
  }
  if (wish.for_writing) {
    reply.first_writer = file.writers.empty();
    file.writers.push_front(
        {.node = node, .pid = wish.pid, .through_daemon = file.backing_id == 0});
    reply.handle = reinterpret_cast<uint64_t>(&file.writers.front());
    if (file.backing_id != 0) small_.Remove(node);
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
  if (handle != 0) {
    file.writers.remove_if([handle](const WriterHandle& writer) {
      return reinterpret_cast<uint64_t>(&writer) == handle;
    });
    last_writer = file.writers.empty();
  }
  if (--file.opens == 0) {
    if (file.backing_id != 0) kernel_.CloseBacking(file.backing_id);
    shard.files.erase(position);
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

bool OpenFiles::MayHoldPages(NodeId node) const {
  const Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  return position != shard.files.end() && position->second.backing_id == 0 &&
         !position->second.writers.empty();
}

std::vector<WriterHandle> OpenFiles::Writers(Slot slot) const {
  std::vector<WriterHandle> writers;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (const auto& [node, file] : shard.files) {
      if (SlotOf(node) != slot) continue;
      writers.insert(writers.end(), file.writers.begin(), file.writers.end());
    }
  }
  return writers;
}

std::vector<NodeId> OpenFiles::Nodes(Slot slot) const {
  std::vector<NodeId> nodes;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (const auto& [node, file] : shard.files) {
      if (SlotOf(node) == slot) nodes.push_back(node);
    }
  }
  return nodes;
}

std::vector<NodeId> OpenFiles::WithoutFd(Slot slot) const {
  std::vector<NodeId> nodes;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (const auto& [node, file] : shard.files) {
      if (SlotOf(node) == slot && file.backing_id == 0 && !file.data_fd) nodes.push_back(node);
    }
  }
  return nodes;
}

std::shared_ptr<const UniqueFd> OpenFiles::GiveFd(NodeId node,
                                                  const std::function<UniqueFd()>& open) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  if (position == shard.files.end() || position->second.backing_id != 0) return nullptr;
  File& file = position->second;
  if (!file.data_fd) file.data_fd = std::make_shared<const UniqueFd>(open());
  return file.data_fd;
}

std::shared_ptr<const UniqueFd> OpenFiles::AnyFd(NodeId node) const {
  const Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  if (position == shard.files.end()) return nullptr;
  return position->second.path_fd ? position->second.path_fd : position->second.data_fd;
}

std::shared_ptr<const UniqueFd> OpenFiles::DataFd(NodeId node) const {
  const Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto position = shard.files.find(node);
  return position == shard.files.end() ? nullptr : position->second.data_fd;
}

}  // namespace ckptfs
