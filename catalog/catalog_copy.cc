#include "catalog/catalog_copy.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "backend/base/error.h"
#include "backend/mount/detached_mount.h"
#include "catalog/catalog.h"

namespace ckptfs {
namespace {

void CopyInto(int directory_fd, int from_fd, const std::string& name) {
  const std::string attempted = "copy " + name + " into memory";
  const UniqueFd to(CheckSyscall(
      openat(directory_fd, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
      attempted));
  constexpr size_t kPieceBytes = size_t{16} << 20;
  while (CheckSyscall(sendfile(to.get(), from_fd, nullptr, kPieceBytes), attempted) > 0) {
  }
}

}  // namespace

UniqueFd CopyCatalog(int store_fd) {
  UniqueFd copy =
      MountDetached("tmpfs", "ckptfs-catalog", {.filesystem_options = {{"mode", "0700"}}});
  for (const char* suffix : {"", "-wal"}) {
    const std::string name = std::string(Catalog::kFileName) + suffix;
    const UniqueFd from(
        openat(store_fd, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!from.valid() && errno == ENOENT) continue;
    struct stat status {};
    const bool is_other =
        from.valid() ? fstat(from.get(), &status) == 0 && !S_ISREG(status.st_mode) : errno == ELOOP;
    if (is_other) continue;  // a catalog is made from the sidecars then
    CheckSyscall(from.get(), "open " + name);
    CopyInto(copy.get(), from.get(), name);
  }
  return copy;
}

}  // namespace ckptfs
