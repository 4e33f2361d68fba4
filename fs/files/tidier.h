// Closes what has not been used for a while.
#pragma once

#include <chrono>

#include "backend/base/periodic_timer.h"
#include "fs/nodes/nodes.h"
#include "fs/open/mapped_files.h"

namespace ckptfs {

// Looks through the mappings, the descriptors of directories and the open volumes while there are any.
// Thread-safe.
class Tidier {
 public:
  Tidier(Nodes& nodes, MappedFiles& mapped)
      : timer_(kInterval, [&nodes, &mapped] {
          const bool maybe_mapped = mapped.LookAtSome();
          const bool open_volumes = nodes.volumes.DropIdle();
          return nodes.directory_fds.DropIdle() || maybe_mapped || open_volumes;
        }) {}

  // There is something to look through.
  void Wake() { timer_.Wake(); }

 private:
  static constexpr std::chrono::milliseconds kInterval{200};
  PeriodicTimer timer_;
};

}  // namespace ckptfs
