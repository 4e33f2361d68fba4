// Checkpoints, rollbacks and everything else that changes the list of workspaces and snapshots.
#pragma once

#include <string>
#include <vector>

#include "tests/stress/worker.h"

namespace ckptfs::stress {

class VerbWorker : public Worker {
 public:
  using Worker::Worker;

 protected:
  void Step() override;

 private:
  void Rename(Operation operation, const std::string& from, const std::string& to,
              unsigned int flags = 0);
  void Promote(const std::string& workspace, const std::string& snapshot);
  void SetPinned(const std::string& snapshot, bool pinned);
  void StepRefused();
  void StepCkpt();
  void RunCkpt(Operation operation, const std::vector<std::string>& arguments);
  // Keeps the number of snapshots small: rollbacks add one each.
  void ThinOut(const std::string& workspace);
  // Deletes a workspace with everything in it, as far as the other processes permit.
  void TakeDown(const std::string& workspace);
  std::vector<std::string> List(const std::string& directory);
  void Delete(const std::string& workspace, const std::string& snapshot);
};

}  // namespace ckptfs::stress
