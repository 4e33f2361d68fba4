// A mount of the filesystem; hides libfuse from its users.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/mount/access_times.h"
#include "catalog/store/store.h"
#include "fs/nodes/mount_context.h"
#include "fs/open/mount_helper.h"

namespace ckptfs {

enum class IoUring { kAuto, kOn, kOff };

struct FuseOptions {
  std::vector<std::string> kernel_options;  // "ro", "nosuid", ... as mount(8) knows them
  std::string source;                       // what findmnt shows
  AccessTimes access_times;                 // for findmnt only: the files underneath decide
  IoUring io_uring = IoUring::kAuto;
  bool debug = false;  // libfuse prints every request
};

// One mount, from mount(2) to the end of the last request. Used by one thread.
class FuseMount {
 public:
  // Mounts; requests are answered once Run is called. Throws Error if mounting fails. `helper` outlives this
  // object.
  FuseMount(Store& store, const MountOptions& mount, const FuseOptions& fuse, MountHelper& helper);
  ~FuseMount();  // unmounts if still mounted
  FuseMount(const FuseMount&) = delete;
  FuseMount& operator=(const FuseMount&) = delete;

  // Serves until the filesystem is unmounted or SIGINT, SIGTERM or SIGHUP arrives. Throws Error if the
  // connection to the kernel breaks.
  void Run();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ckptfs
