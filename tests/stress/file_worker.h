// A process that works with files of workspaces while these are checkpointed and rolled back.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"
#include "tests/stress/worker.h"

namespace ckptfs::stress {

// Uses two kinds of files. Those named n0, n1, ... are written without a name, linked when complete and never
// changed: wherever such a name is found, in a live tree or a snapshot, the file must be complete, or a
// checkpoint was not a single moment. Those named w0, w1, ... are written and truncated in place by all
// workers.
class FileWorker : public Worker {
 public:
  using Worker::Worker;

 protected:
  void Step() override;
  void LetGo() override;

 private:
  struct Held {
    UniqueFd fd;
    std::string name;
  };

  std::string AnyDirectory();
  void MakeComplete();
  void CheckComplete(const std::string& path, Operation operation);
  void CheckComplete(int fd, const std::string& path);
  void WriteInPlace();
  void StoreThroughMapping();
  void ChangeNames();
  void LookAround();
  void HoldDirectory();
  void UseHeldDirectory();
  void HoldFile();
  void UseHeldFile();
  void StandSomewhere();
  void ListAt(Operation operation, int directory, const std::string& path);

  uint64_t made_ = 0;
  std::vector<Held> directories_;
  std::vector<Held> files_;
  std::optional<Held> writer_;
  bool stands_inside_ = false;
};

}  // namespace ckptfs::stress
