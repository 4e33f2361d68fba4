#include "backend/dm/image_files.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "backend/base/error.h"

namespace ckptfs {

// In both handles, of 8 and of 12 bytes, it comes last.
uint32_t ImageFiles::GenerationOf(int fd, const std::string& path) const {
  const std::string handle = HandleOf(fd, path);
  uint32_t generation = 0;
  if (handle.size() < sizeof(uint64_t)) {
    throw Error(EBADMSG, fmt::format("get the file handle of {:?}", path),
                "it is of no form that is known");
  }
  std::memcpy(&generation, handle.data() + handle.size() - sizeof(generation), sizeof(generation));
  return generation;
}

ImageFiles::Paths ImageFiles::WalkLinks() const {
  Paths paths;
  std::vector<std::string> pending{""};
  while (!pending.empty()) {
    const std::string directory = std::move(pending.back());
    pending.pop_back();
    for (const DirectoryEntry& entry : List(directory)) {
      std::string path = JoinPath(directory, entry.name);
      const FileStatus status = Status(path);
      if (status.foreign) continue;
      if (status.IsDirectory()) {
        pending.push_back(std::move(path));
      } else if (status.links > 1) {
        paths.emplace(status.identity.inode, std::move(path));
      }
    }
  }
  return paths;
}

std::vector<std::string> ImageFiles::PathsOf(uint64_t inode) const {
  const std::lock_guard lock(mutex_);
  if (!links_) links_ = WalkLinks();
  std::vector<std::string> paths;
  const auto [begin, end] = links_->equal_range(inode);
  for (auto link = begin; link != end; ++link) paths.push_back(link->second);
  return paths;
}

}  // namespace ckptfs
