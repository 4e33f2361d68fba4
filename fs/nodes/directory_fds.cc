#include "fs/nodes/directory_fds.h"

#include <fcntl.h>

#include <cerrno>
#include <iterator>
#include <utility>

#include "backend/base/error.h"

namespace ckptfs {

UniqueFd OpenDirectory(const Volume& volume, FileId directory, int flags) {
  try {
    return volume.OpenInode(directory, flags | O_DIRECTORY | O_NOFOLLOW);
  } catch (const Error& error) {
    if (error.errno_value() != ENOTDIR) throw;
    throw Error(ESTALE, "open a directory", "a rollback has put another file in its place");
  }
}

std::shared_ptr<const UniqueFd> DirectoryFds::Open(const std::shared_ptr<Volume>& volume,
                                                   FileId directory) {
  const Key key{.volume = volume.get(), .file = directory};
  const auto now = std::chrono::steady_clock::now();
  {
    const MutexLock lock(mutex_);
    if (const auto known = by_key_.find(key); known != by_key_.end()) {
      order_.splice(order_.begin(), order_, known->second);
      known->second->used_at = now;
      return known->second->fd;
    }
  }
  auto fd = std::make_shared<const UniqueFd>(OpenDirectory(*volume, directory, O_PATH));
  Order dropped;
  const MutexLock lock(mutex_);
  if (by_key_.contains(key)) return fd;  // another thread was faster
  order_.push_front({.key = key, .volume = volume, .fd = fd, .used_at = now});
  by_key_[key] = order_.begin();
  if (order_.size() > kMax) {
    by_key_.erase(order_.back().key);
    dropped.splice(dropped.begin(), order_, std::prev(order_.end()));
  }
  return fd;
}

template <typename Goes>
void DirectoryFds::RemoveIf(Order& dropped, const Goes& goes) {
  const MutexLock lock(mutex_);
  for (auto entry = order_.begin(); entry != order_.end();) {
    const auto next = std::next(entry);
    if (goes(*entry)) {
      by_key_.erase(entry->key);
      dropped.splice(dropped.end(), order_, entry);
    }
    entry = next;
  }
}

void DirectoryFds::Drop(const Volume& volume, uint64_t inode) {
  Order dropped;
  RemoveIf(dropped, [&](const Entry& entry) {
    return entry.key.volume == &volume && entry.key.file.inode == inode;
  });
}

void DirectoryFds::Drop(const VolumeId& volume) {
  Order dropped;
  RemoveIf(dropped, [&](const Entry& entry) { return entry.volume->id() == volume; });
}

bool DirectoryFds::DropIdle() {
  Order dropped;
  const auto last_use = std::chrono::steady_clock::now() - kIdle;
  RemoveIf(dropped, [&](const Entry& entry) { return entry.used_at < last_use; });
  const MutexLock lock(mutex_);
  return !order_.empty();
}

}  // namespace ckptfs
