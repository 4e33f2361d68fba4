#include "catalog/db/catalog_copy.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "backend/base/error.h"
#include "backend/base/sparse_copy.h"
#include "backend/base/store_file.h"
#include "backend/mount/detached_mount.h"
#include "catalog/db/catalog.h"

namespace ckptfs {
namespace {

// The copy is in memory.
constexpr int64_t kCopiedBytesMax = int64_t{1} << 30;

void CopyInto(int directory_fd, int from_fd, const std::string& name) {
  const std::string attempted = "copy " + name + " into memory";
  struct stat status {};
  CheckSyscall(fstat(from_fd, &status), attempted);
  if (int64_t{status.st_blocks} * 512 > kCopiedBytesMax) {
    throw Error(EFBIG, attempted, fmt::format("it takes more than {} MiB", kCopiedBytesMax >> 20),
                "Mount the store without ro, which needs no copy");
  }
  const UniqueFd to = ReplaceStoreFile(directory_fd, name);
  CheckSyscall(to.get(), attempted);
  CopySparse(from_fd, to.get());
}

}  // namespace

UniqueFd CopyCatalog(int store_fd) {
  UniqueFd copy =
      MountDetached("tmpfs", "ckptfs-catalog", {.filesystem_options = {{"mode", "0700"}}});
  for (const char* suffix : {"", "-wal"}) {
    const std::string name = std::string(Catalog::kFileName) + suffix;
    const UniqueFd from = TryOpenStoreFile(store_fd, name, O_RDONLY);
    if (!from.valid() && errno == ENOENT) continue;
    if (!from.valid() && errno == EUCLEAN) continue;  // then it is rebuilt from the sidecars
    CheckSyscall(from.get(), "open " + name);
    CopyInto(copy.get(), from.get(), name);
  }
  return copy;
}

}  // namespace ckptfs
