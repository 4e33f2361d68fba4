// Proves that a checkpoint shows a single moment, or reports why not.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "tests/moment/model.h"
#include "tests/moment/sequence.h"
#include "tests/moment/writer_log.h"

namespace ckptfs::moment {

// The numbers of operations that explain the state in which a writer's directory was found.
struct Fit {
  uint64_t first = 0;
  uint64_t last = 0;
};

// Follows one writer through the checkpoints in order. Used by one thread.
class WriterCheck {
 public:
  WriterCheck(const std::string& case_name, uint64_t seed, int writer)
      : writer_(writer), sequence_(case_name, seed, writer), model_(writer) {}

  // Looks for numbers n with earliest <= n <= latest such that `found` is the state after n operations. If
  // there is none, returns false and adds lines to `problems`. Stores through mappings are not ordered among
  // themselves: each word must come from some store of that range or from the last one before it.
  bool Find(const Tree& found, uint64_t earliest, uint64_t latest, Fit& fit,
            std::vector<std::string>& problems);

 private:
  const Operation& At(uint64_t number);
  // The differences between `found` and the model, updated as operations are applied.
  class Differences;

  void AdvanceTo(uint64_t number);
  void Explain(const Tree& found, uint64_t earliest, uint64_t latest, uint64_t nearest,
               std::vector<std::string>& problems);
  bool CheckStores(const Tree& found, uint64_t latest, std::vector<std::string>& problems);

  const int writer_;
  Sequence sequence_;
  Model model_;                  // after `applied_` operations
  uint64_t applied_ = 0;         // never more than the earliest number requested
  std::deque<Operation> ahead_;  // the operations after `applied_` that have been generated so far
};

// Checks all checkpoints and prints what is wrong with each that is not a single moment. Returns the number
// of those. `directory_of` returns the directory of a writer's files in a snapshot.
struct CheckRequest {
  std::string case_name;
  uint64_t seed = 0;
  std::string snapshots;  // the directory of all snapshots
  size_t reports_max = 5;
};
size_t CountBroken(const CheckRequest& request, const WriterLog& log,
                   const std::vector<Checkpoint>& checkpoints);

// The name of a writer's directory in the workspace.
std::string WriterDirectory(const std::string& case_name, int writer);

}  // namespace ckptfs::moment
