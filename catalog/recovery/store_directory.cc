#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/registry.h"
#include "catalog/recovery/store_open.h"

namespace ckptfs {
namespace {

constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

std::string OpenAttempt(const std::string& path) { return "open the store " + path; }

}  // namespace

UniqueFd OpenStoreDirectory(const StoreOptions& options, MadeDirectory& made) {
  UniqueFd directory(open(options.path.c_str(), kDirectoryFlags));
  if (directory.valid()) return directory;
  if (errno == ENOTDIR) {
    throw Error(ENOTDIR, OpenAttempt(options.path), "it is no directory",
                "A store is a directory; name one, or a path where one can be made");
  }
  if (errno != ENOENT) ThrowErrno(OpenAttempt(options.path));
  if (!options.create || options.read_only) {
    throw Error(ENOENT, OpenAttempt(options.path), "it does not exist",
                options.read_only ? "Mount it once without ro to make it"
                                  : "Mount it once without nocreate to make it");
  }
  if (mkdir(options.path.c_str(), 0755) == 0) {
    made.NoteMade();
  } else if (errno != EEXIST) {
    const std::string attempted = "make the store " + options.path;
    if (errno == ENOENT) throw Error(ENOENT, attempted, "the directory above it does not exist");
    ThrowErrno(attempted);
  }
  directory.Reset(open(options.path.c_str(), kDirectoryFlags));
  if (!directory.valid()) ThrowErrno(OpenAttempt(options.path));
  return directory;
}

void RefuseForeignDirectory(int store_fd, const std::string& path) {
  struct stat status {};
  const bool has_catalog = fstatat(store_fd, Catalog::kFileName, &status, AT_SYMLINK_NOFOLLOW) == 0;
  // If our lock is in it, it is a store whose first mount was interrupted.
  if (has_catalog || LooksLikeStoreLock(store_fd) || IsUnfinishedStore(store_fd) ||
      DetectBackend(store_fd)) {
    return;
  }

  for (const std::string& name : ReadDirectory(store_fd)) {
    // A new ext4 has a lost+found; an empty lock is left by a first mount that was killed at once.
    if (name == "lost+found" || name == StoreLock::kFileName) continue;
    throw Error(ENOTEMPTY, OpenAttempt(path), fmt::format("{} holds other files ({})", path, name),
                "A new store needs a directory that is empty or not there");
  }
}

}  // namespace ckptfs
