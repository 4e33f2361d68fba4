// What was done, for the report of a failure.
#pragma once

#include <cstdint>
#include <cstdio>
#include <deque>
#include <fstream>
#include <string>
#include <vector>

namespace ckptfs::fsx {

// The last operations, in memory, and all of them in a file if one is asked for. For one thread.
class OperationLog {
 public:
  // An empty path: no file. Throws Error if it cannot be made.
  explicit OperationLog(const std::string& path);

  // `files`: the ids of those that it concerns; none: all.
  void Add(uint64_t operation, std::string text, std::vector<uint64_t> files);
  // Prints the last `count` entries that concern `file` (0: any).
  void Print(std::FILE* to, uint64_t file, size_t count) const;

 private:
  struct Entry {
    uint64_t operation;
    std::string text;
    std::vector<uint64_t> files;
  };
  std::deque<Entry> entries_;
  std::ofstream file_;
};

}  // namespace ckptfs::fsx
