#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/fuse/fuse_negotiation.h"

#include <fuse_lowlevel.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "fs/fuse/fuse_operations.h"

namespace ckptfs {
namespace {

constexpr unsigned int kMaxWriteBytes = 256 << 10;

}  // namespace

void Negotiate(FuseHandlers& handlers, fuse_conn_info* connection) {
  for (const uint64_t wanted :
       {uint64_t{FUSE_CAP_PARALLEL_DIROPS}, uint64_t{FUSE_CAP_CACHE_SYMLINKS},
        uint64_t{FUSE_CAP_READDIRPLUS}, uint64_t{FUSE_CAP_READDIRPLUS_AUTO},
        uint64_t{FUSE_CAP_NO_OPENDIR_SUPPORT}, uint64_t{FUSE_CAP_EXPIRE_ONLY},
        uint64_t{FUSE_CAP_ATOMIC_O_TRUNC}, uint64_t{FUSE_CAP_POSIX_ACL},
        uint64_t{FUSE_CAP_DONT_MASK}, uint64_t{FUSE_CAP_HANDLE_KILLPRIV_V2},
        uint64_t{FUSE_CAP_AUTO_INVAL_DATA}, uint64_t{FUSE_CAP_ASYNC_DIO},
        uint64_t{FUSE_CAP_SPLICE_WRITE}, uint64_t{FUSE_CAP_SPLICE_MOVE},
        uint64_t{FUSE_CAP_EXPORT_SUPPORT}, uint64_t{FUSE_CAP_PASSTHROUGH}}) {
    fuse_set_feature_flag(connection, wanted);
  }
  if (handlers.mount.options.strict_access_times) {
    // Without the first, every READLINK reaches the daemon; the second: if the daemon does not answer
    // OPENDIR, the kernel caches listings.
    fuse_unset_feature_flag(connection, FUSE_CAP_CACHE_SYMLINKS);
    fuse_unset_feature_flag(connection, FUSE_CAP_NO_OPENDIR_SUPPORT);
  }
  // Requests carry little data, and if a pipe cannot grow to the largest request (without CAP_SYS_RESOURCE)
  // libfuse would create and destroy a pipe for each one: six more system calls.
  fuse_unset_feature_flag(connection, FUSE_CAP_SPLICE_READ);
  // A backing file is never in two mounts, and the kernel's own locks are correct.
  fuse_unset_feature_flag(connection, FUSE_CAP_FLOCK_LOCKS);
  fuse_unset_feature_flag(connection, FUSE_CAP_POSIX_LOCKS);
  fuse_unset_feature_flag(connection, FUSE_CAP_WRITEBACK_CACHE);
  if (!fuse_get_feature_flag(connection, FUSE_CAP_PASSTHROUGH)) {
    spdlog::info("this kernel has no FUSE passthrough (6.9): data goes through the daemon");
    handlers.open.files.DisablePassthrough();
  } else {
    // Little data passes through the daemon. Each entry of a ring has room for the largest request.
    connection->max_write = std::min(connection->max_write, kMaxWriteBytes);
  }
  // Requested by an option (FuseMount); granted according to the kernel's current setting.
  spdlog::info("requests come {}", fuse_get_feature_flag(connection, FUSE_CAP_OVER_IO_URING)
                                       ? "over io_uring"
                                       : "through /dev/fuse");
  // Releases are background requests too: the default of 12 at a time would hold up opens.
  connection->max_background = 128;
  connection->congestion_threshold = 96;
  connection->time_gran = 1;
  handlers.mount.can_expire_names = fuse_get_feature_flag(connection, FUSE_CAP_EXPIRE_ONLY);
  if (!handlers.mount.can_expire_names) {
    spdlog::info("this kernel cannot expire names (6.2): they are looked up every time");
  }
}

}  // namespace ckptfs
