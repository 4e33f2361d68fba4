#include "tests/moment/performer.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "backend/base/error.h"

namespace ckptfs::moment {
namespace {

// As CheckSyscall, and puts no words together unless they are needed.
template <typename Result>
Result Check(Result result, const Operation& operation) {
  if (result < 0) ThrowErrno(Describe(operation));
  return result;
}

}  // namespace

Performer::Performer(int writer, const std::string& directory)
    : writer_(writer),
      directory_(
          CheckSyscall(open(directory.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC), directory)) {
  umask(0);
  // For the calls that take a path and no directory.
  CheckSyscall(fchdir(directory_.get()), "enter " + directory);
}

Performer::~Performer() {
  for (const auto& [handle, mapping] : mappings_) {
    if (mapping.address != nullptr) munmap(mapping.address, mapping.bytes);
  }
}

void Performer::Prepare(uint64_t number, const Operation& operation) {
  if (operation.kind == Kind::kWrite || operation.kind == Kind::kAppend) {
    content_ = Content(writer_, number, operation.size);
  } else if (operation.kind == Kind::kSetXattr) {
    content_ = std::to_string(number);
  }
}

int Performer::Fd(const Operation& operation) const { return files_.at(operation.handle).get(); }

void Performer::Do(uint64_t number, const Operation& operation) {
  const Operation& o = operation;
  ssize_t written = 0;
  switch (o.kind) {
    case Kind::kOpen: {
      const int fd = open(o.path.c_str(), o.flags | O_CLOEXEC, kFileMode);
      files_[o.handle] = UniqueFd(Check(fd, o));
      return;
    }
    case Kind::kClose:
      files_.erase(o.handle);
      return;
    case Kind::kWrite:
    case Kind::kAppend:
      written = o.kind == Kind::kAppend ? write(Fd(o), content_.data(), content_.size())
                                        : pwrite(Fd(o), content_.data(), content_.size(), o.offset);
      Check(written, o);
      if (static_cast<size_t>(written) != o.size) throw Error(EIO, Describe(o), "a short write");
      return;
    case Kind::kTruncate:
      Check(ftruncate(Fd(o), static_cast<off_t>(o.size)), o);
      return;
    case Kind::kChmod:
    case Kind::kSetXattr:
    case Kind::kSetTime:
      SetAttribute(number, o);
      return;
    case Kind::kMap:
    case Kind::kStore:
    case Kind::kSync:
    case Kind::kUnmap:
      DoToMapping(number, o);
      return;
    default:
      DoToNames(o);
  }
}

void Performer::DoToNames(const Operation& operation) {
  const char* path = operation.path.c_str();
  const char* other = operation.other.c_str();
  int result = -1;
  switch (operation.kind) {
    case Kind::kRename:
      result = rename(path, other);
      break;
    case Kind::kExchange:
      result = renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE);
      break;
    case Kind::kUnlink:
      result = unlink(path);
      break;
    case Kind::kLink:
      result = link(path, other);
      break;
    case Kind::kSymlink:
      result = symlink(other, path);
      break;
    case Kind::kMkdir:
      result = mkdir(path, kDirectoryMode);
      break;
    default:
      result = rmdir(path);
      break;
  }
  Check(result, operation);
}

void Performer::SetAttribute(uint64_t number, const Operation& operation) {
  const char* path = operation.path.c_str();
  int result = -1;
  if (operation.kind == Kind::kChmod) {
    result = chmod(path, operation.mode);
  } else if (operation.kind == Kind::kSetXattr) {
    result = setxattr(path, kXattrName, content_.data(), content_.size(), 0);
  } else {
    const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                               {.tv_sec = static_cast<time_t>(number), .tv_nsec = 0}};
    result = utimensat(AT_FDCWD, path, times, 0);
  }
  Check(result, operation);
}

void Performer::DoToMapping(uint64_t number, const Operation& operation) {
  Mapping& mapping = mappings_[operation.handle];
  switch (operation.kind) {
    case Kind::kMap: {
      // The size is asked for once, and not part of what is measured.
      if (mapping.bytes == 0) {
        struct stat status {};
        Check(fstat(Fd(operation), &status), operation);
        mapping.bytes = static_cast<size_t>(status.st_size);
      }
      mapping.address =
          mmap(nullptr, mapping.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, Fd(operation), 0);
      if (mapping.address == MAP_FAILED) ThrowErrno(Describe(operation));
      return;
    }
    case Kind::kStore: {
      auto* const words = static_cast<uint64_t*>(mapping.address);
      const size_t word = static_cast<size_t>(operation.offset) / sizeof(uint64_t);
      std::atomic_ref(words[word]).store(number);
      return;
    }
    case Kind::kSync:
      Check(msync(mapping.address, mapping.bytes, MS_ASYNC), operation);
      return;
    default:
      Check(munmap(mapping.address, mapping.bytes), operation);
      mapping.address = nullptr;
  }
}

}  // namespace ckptfs::moment
