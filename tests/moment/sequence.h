// The known order of a writer's operations.
#pragma once

#include <cstdint>
#include <deque>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/moment/operation.h"

namespace ckptfs::moment {

// The endless sequence of one writer's operations. It depends only on the case, the seed and the writer's
// number, so the writer and the checker generate the same one. The sequence tracks the tree, so none of its
// operations fails. Used by one thread.
class Sequence {
 public:
  // Throws std::invalid_argument for an unknown case.
  Sequence(const std::string& case_name, uint64_t seed, int writer);

  Operation Next();

  // The cases, each with operations of one kind; the last one has all kinds.
  static std::vector<std::string> Cases();

 private:
  using Episode = void (Sequence::*)();
  struct NamedCase;
  static const std::vector<NamedCase>& AllCases();

  // A few operations that belong together; the next group starts from the state that they leave.
  void Replace();     // write a file, close it, rename it over another
  void Appends();     // to a file that stays open, nothing between
  void OddAppends();  // with sizes that cross page boundaries
  void TwoFiles();    // data, then a log, both open, as a database does
  void TwoOffsets();  // far apart in one file, in order
  void Truncations();
  void Stores();  // through a mapping
  void Links();
  void Directories();
  void Attributes();
  void Unlinked();  // a file that is written to after it has lost its name

  void AppendTo(const std::string& name, int handle, size_t at_most, size_t size_min,
                size_t size_max);
  // Opens a file with this size, which stays open; only the first time.
  bool OpenOnce(int handle, const std::string& name, int flags, size_t size);
  uint64_t Draw(uint64_t from, uint64_t to);  // both included
  void Add(Operation operation) { planned_.push_back(std::move(operation)); }

  std::vector<Episode> episodes_;
  std::mt19937_64 random_;
  std::deque<Operation> planned_;
  std::set<int> open_;
  std::vector<size_t> sizes_;       // of appended files, by handle
  std::set<std::string> replaced_;  // names that Replace has made
  std::set<std::string> links_;
  std::set<std::string> made_;  // made by the other groups
  size_t large_bytes_ = 0;
};

}  // namespace ckptfs::moment
