#include "backend/dm/image_files.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "backend/base/error.h"

namespace ckptfs {

// It is the last field in both handles, of 8 and of 12 bytes.
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

void ImageFiles::WalkLinks(Links& links) const {
  constexpr size_t kLinkBytes = 64;  // per entry in the map, as allocated
  std::vector<PathId> pending{kRootPath};
  while (!pending.empty()) {
    const PathId directory = pending.back();
    pending.pop_back();
    const std::string text = links.paths.Text(directory);
    const DirectoryList entries = List(text);
    for (size_t i = 0; i < entries.size(); ++i) {
      const FileStatus status = Status(JoinPath(text, entries[i].name));
      if (status.foreign || (!status.IsDirectory() && status.links <= 1)) continue;
      const PathId path = links.paths.Child(directory, entries[i].name);
      if (status.IsDirectory()) {
        pending.push_back(path);
      } else {
        links.held.Add(kLinkBytes);
        links.by_inode.emplace(status.identity.inode, path);
      }
    }
  }
}

void ImageFiles::ForEachPathOf(uint64_t inode,
                               const std::function<bool(const std::string& path)>& visit) const {
  if (!links_) {
    links_.emplace(limits());
    WalkLinks(*links_);
  }
  const auto [begin, end] = links_->by_inode.equal_range(inode);
  for (auto link = begin; link != end; ++link) {
    if (!visit(links_->paths.Text(link->second))) return;
  }
}

}  // namespace ckptfs
