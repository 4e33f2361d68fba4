#include "backend/base/write_out.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "backend/base/error.h"

namespace ckptfs {

void WriteOutData(int fd) {
  // Without room for extents, which are not needed.
  fiemap map;  // NOLINT(cppcoreguidelines-pro-type-member-init): {} of a zero-size array
  std::memset(&map, 0, sizeof(map));
  map.fm_length = FIEMAP_MAX_OFFSET;
  map.fm_flags = FIEMAP_FLAG_SYNC;
  if (ioctl(fd, FS_IOC_FIEMAP, &map) == 0) return;
  if (errno != EOPNOTSUPP && errno != ENOTTY) ThrowErrno("write out a file's data");
  CheckSyscall(fdatasync(fd), "write out a file's data");
}

}  // namespace ckptfs
