#include "fs/nodes/directory_fds.h"

#include <fcntl.h>

#include <cerrno>

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
  return kept_.Get(
      key,
      [&] {
        return Kept{
            .volume = volume,
            .fd = std::make_shared<const UniqueFd>(OpenDirectory(*volume, directory, O_PATH))};
      },
      &Kept::fd);
}

void DirectoryFds::Drop(const Volume& volume, uint64_t inode) {
  kept_.RemoveIf([&](const Key& key, const Kept& /*kept*/) {
    return key.volume == &volume && key.file.inode == inode;
  });
}

void DirectoryFds::Drop(const VolumeId& volume) {
  kept_.RemoveIf([&](const Key& /*key*/, const Kept& kept) { return kept.volume->id() == volume; });
}

bool DirectoryFds::DropIdle() { return kept_.RemoveIdle(kIdle); }

}  // namespace ckptfs
