// Proves that a checkpoint is one moment, or says what is wrong with it.
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

// The numbers of operations after which a writer's directory looked as it was found.
struct Fit {
  uint64_t first = 0;
  uint64_t last = 0;
};

// Follows one writer through the checkpoints in their order. For one thread.
class WriterCheck {
 public:
  WriterCheck(const std::string& case_name, uint64_t seed, int writer)
      : writer_(writer), sequence_(case_name, seed, writer), model_(writer) {}

  // Looks for numbers n with earliest <= n <= latest so that `found` is what n operations leave.
  // Returns false, and adds lines to `problems`, if there is none. Stores through mappings have no
  // order among themselves: each word has to be what some store of that range, or the last one
  // before it, has left.
  bool Find(const Tree& found, uint64_t earliest, uint64_t latest, Fit& fit,
            std::vector<std::string>& problems);

 private:
  const Operation& At(uint64_t number);
  // The differences between `found` and the model, kept while operations are applied.
  class Differences;

  void AdvanceTo(uint64_t number);
  void Explain(const Tree& found, uint64_t earliest, uint64_t latest, uint64_t nearest,
               std::vector<std::string>& problems);
  bool CheckStores(const Tree& found, uint64_t latest, std::vector<std::string>& problems);

  const int writer_;
  Sequence sequence_;
  Model model_;                  // after `applied_` operations
  uint64_t applied_ = 0;         // never more than the earliest number that was asked for
  std::deque<Operation> ahead_;  // the operations that follow, as far as they have been looked at
};

// Checks all checkpoints; prints what is wrong with each that is no moment. Returns their number.
// `directory_of` a snapshot and a writer is where that writer's files are in it.
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
