#include "tests/moment/tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"
#include "tests/moment/operation.h"

namespace ckptfs::moment {
namespace {

std::string ReadContent(const std::string& path, size_t size) {
  const UniqueFd fd(CheckSyscall(open(path.c_str(), O_RDONLY | O_CLOEXEC), "open " + path));
  // One byte more than there should be: whoever reads to the end sees what its size does not tell.
  std::string content(size + 1, '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t got =
        CheckSyscall(read(fd.get(), content.data() + done, content.size() - done), "read " + path);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  content.resize(done);
  return content;
}

Entry ReadEntry(const std::filesystem::path& path) {
  struct stat status {};
  CheckSyscall(lstat(path.c_str(), &status), "stat " + path.string());
  Entry entry{.mode = status.st_mode,
              .links = status.st_nlink,
              .content = {},
              .xattr = {},
              .mtime_s = status.st_mtim.tv_sec};
  if (S_ISREG(status.st_mode)) {
    entry.content = ReadContent(path.string(), static_cast<size_t>(status.st_size));
    if (entry.content.size() != static_cast<size_t>(status.st_size)) {
      throw Error(EIO, "read " + path.string(), "its size is not that of its content");
    }
    std::array<char, 64> value{};
    const ssize_t size = getxattr(path.c_str(), kXattrName, value.data(), value.size());
    if (size < 0 && errno != ENODATA) ThrowErrno("read the attribute of " + path.string());
    if (size > 0) entry.xattr.assign(value.data(), static_cast<size_t>(size));
  } else if (S_ISLNK(status.st_mode)) {
    entry.content = std::filesystem::read_symlink(path).string();
  }
  return entry;
}

}  // namespace

Tree ReadTree(const std::string& directory) {
  Tree tree;
  for (const auto& found : std::filesystem::recursive_directory_iterator(directory)) {
    tree.emplace(found.path().lexically_relative(directory).string(), ReadEntry(found.path()));
  }
  return tree;
}

}  // namespace ckptfs::moment
