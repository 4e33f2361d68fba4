#include "backend/base/partial_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/warning.h"

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
  Warn(fmt::format("remove an unfinished {}: {}", partial_name_, std::strerror(errno)));
}

void PartialFile::Write(std::string_view text) {
  const std::string attempted = "write " + name_;
  const ssize_t written = CheckSyscall(write(fd_.get(), text.data(), text.size()), attempted);
  if (static_cast<size_t>(written) != text.size()) throw Error(ENOSPC, attempted);
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

}  // namespace ckptfs
