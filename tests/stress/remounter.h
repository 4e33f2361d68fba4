// Unmounts the filesystem while other processes use it, and mounts it again.
#pragma once

#include "tests/stress/worker.h"

namespace ckptfs::stress {

// Tries to unmount until it succeeds: most processes pause meanwhile, the hasty ones do not, so that
// unmounting meets calls in flight. EBUSY is then correct, and no process may ever see a dead mount. Mounts
// again at once, while the previous daemon may still be ending.
class Remounter {
 public:
  Remounter(Board& board, const Settings& settings, int number);
  void Run();

 private:
  bool Unmount();
  void Mount();
  // False if the run has ended.
  bool Wait(int64_t duration_ms) const;

  template <typename Function>
  int Call(Operation operation, const Function& function);

  Board& board_;
  const Settings& settings_;
  Desk& desk_;
};

}  // namespace ckptfs::stress
