#include "backend/base/directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>

#include "backend/base/error.h"

namespace ckptfs {

void ForEachEntry(UniqueFd directory, std::string_view attempted,
                  const std::function<bool(const dirent& entry)>& visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(directory.get()), &closedir);
  if (!stream) ThrowErrno(attempted);
  (void)directory.Release();  // the stream owns it now
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(stream.get());  // NOLINT(concurrency-mt-unsafe): own DIR
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != ".." && !visit(*entry)) return;
  }
  if (errno != 0) ThrowErrno(attempted);
}

std::vector<std::string> ReadDirectory(int directory_fd) {
  constexpr char kListing[] = "list a directory of the store";
  UniqueFd anew(
      CheckSyscall(openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), kListing));
  std::vector<std::string> names;
  ForEachEntry(std::move(anew), kListing, [&names](const dirent& entry) {
    names.emplace_back(entry.d_name);
    return true;
  });
  return names;
}

bool HasEntry(int directory_fd, const std::string& name) {
  struct stat status {};
  if (fstatat(directory_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (errno != ENOENT) ThrowErrno("look for " + name);
  return false;
}

bool IsSameDirectory(int a, int b) {
  struct stat of_a {};
  struct stat of_b {};
  return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
         of_a.st_ino == of_b.st_ino;
}

void MakeDirectory(int parent_fd, const std::string& name) {
  if (mkdirat(parent_fd, name.c_str(), 0700) != 0 && errno != EEXIST) {
    ThrowErrno(fmt::format("make the directory {}/ in the store", name));
  }
}

void RemoveTree(int parent_fd, const std::string& name) {
  std::error_code error;
  std::filesystem::remove_all(fmt::format("/proc/self/fd/{}/{}", parent_fd, name), error);
  if (error) throw Error(error.value(), fmt::format("remove {}", name));
}

namespace {

// Not valid if there is no directory of that name.
UniqueFd TryOpenSubdirectory(int parent_fd, const std::string& name, const std::string& attempted) {
  UniqueFd fd(openat(parent_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid() && errno != ENOENT && errno != ENOTDIR && errno != ELOOP) ThrowErrno(attempted);
  return fd;
}

}  // namespace

UniqueFd TryOpenStoreSubdirectory(int parent_fd, const std::string& name) {
  return TryOpenSubdirectory(parent_fd, name, fmt::format("open {}/ in the store", name));
}

UniqueFd OpenStoreSubdirectory(int parent_fd, const std::string& name, const std::string& place,
                               const std::string& mend) {
  const std::string attempted = fmt::format("open the volumes of the store in {}", place);
  UniqueFd fd = TryOpenSubdirectory(parent_fd, name, attempted);
  if (fd.valid()) return fd;
  throw Error(ENOENT, attempted, fmt::format("it holds no directory {}/", name), mend);
}

}  // namespace ckptfs
