#include "backend/base/partial_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"

namespace ckptfs {

PartialFile::PartialFile(int directory_fd, std::string name)
    : directory_fd_(directory_fd),
      name_(std::move(name)),
      partial_name_(name_ + std::string(kPartialSuffix)) {
  if (unlinkat(directory_fd_, partial_name_.c_str(), 0) != 0 && errno != ENOENT) {
    ThrowErrno("remove an unfinished " + partial_name_);
  }
  fd_.Reset(openat(directory_fd_, partial_name_.c_str(),
                   O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd_.valid()) ThrowErrno(fmt::format("make {} in the store's directory", name_));
}

PartialFile::~PartialFile() {
  if (kept_ || unlinkat(directory_fd_, partial_name_.c_str(), 0) == 0) return;
  spdlog::warn("remove an unfinished {}: {}", partial_name_, std::strerror(errno));
}

void PartialFile::Keep(std::string_view failpoint) {
  CheckSyscall(fsync(fd_.get()), "write " + name_);
  CheckSyscall(renameat2(directory_fd_, partial_name_.c_str(), directory_fd_, name_.c_str(),
                         RENAME_NOREPLACE),
               fmt::format("give the new file its name {}", name_));
  kept_ = true;
  if (!failpoint.empty()) Failpoint(failpoint);
  CheckSyscall(fsync(directory_fd_), fmt::format("make the name {} durable", name_));
}

void RemovePartialFiles(int directory_fd) {
  for (const std::string& name : ReadDirectory(directory_fd)) {
    if (!name.ends_with(kPartialSuffix)) continue;
    CheckSyscall(unlinkat(directory_fd, name.c_str(), 0), "remove an unfinished " + name);
  }
}

std::vector<std::string> ReadDirectory(int directory_fd) {
  constexpr char kListing[] = "list a directory of the store";
  // Opened anew: readdir's position belongs to the open file, which other threads share.
  UniqueFd copy(
      CheckSyscall(openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), kListing));
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(copy.get()), &closedir);
  if (!stream) ThrowErrno(kListing);
  (void)copy.Release();
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(stream.get())) {  // NOLINT(concurrency-mt-unsafe): own DIR
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) ThrowErrno(kListing);
  return names;
}

}  // namespace ckptfs
