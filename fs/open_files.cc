#include "fs/open_files.h"

#include <spdlog/spdlog.h>

#include <cerrno>

#include "backend/base/error.h"

namespace ckptfs {

void OpenFiles::OpenBackingFile(File& file, const std::function<UniqueFd(bool)>& open_backing,
                                bool may_pass_through) {
  UniqueFd fd;  // until the end: a file without a name lives by it
  if (passthrough_ && may_pass_through) {
    fd = open_backing(true);
    const int id = kernel_.OpenBacking(fd.get());
    if (id > 0) {
      file.backing_id = id;
      file.path_fd = std::make_shared<const UniqueFd>(std::move(fd));
      return;
    }
    if (id != -EPERM && id != -EOPNOTSUPP && id != -ENOTTY && id != -EINVAL) {
      throw Error(-id, "hand a file to the kernel for passthrough");
    }
    if (passthrough_.exchange(false)) {
      spdlog::warn("no passthrough ({}): data goes through the daemon, which is slower",
                   std::generic_category().message(-id));
    }
  }
  file.data_fd = std::make_shared<const UniqueFd>(open_backing(false));
}

OpenReply OpenFiles::Open(NodeId node, bool for_writing, pid_t pid,
                          const std::function<UniqueFd(bool)>& open_backing,
                          bool may_pass_through) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto [position, inserted] = shard.files.try_emplace(node);
  File& file = position->second;
  if (inserted) {
    try {
      OpenBackingFile(file, open_backing, may_pass_through);
    } catch (...) {
      shard.files.erase(position);
      throw;
    }
  }
  ++file.opens;
  OpenReply reply{.backing_id = file.backing_id};
  if (for_writing) {
    reply.first_writer = file.writers.empty();
    file.writers.push_front({node, pid});
    reply.handle = reinterpret_cast<uint64_t>(&file.writers.front());
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
