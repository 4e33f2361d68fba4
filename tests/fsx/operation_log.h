// The log of operations, for failure reports.
#pragma once

#include <cstdint>
#include <cstdio>
#include <deque>
#include <fstream>
#include <string>
#include <vector>

namespace ckptfs::fsx {

// Keeps the last operations in memory, and optionally all of them in a file. Used by one thread.
class OperationLog {
 public:
  // Empty path: no file. Throws Error if it cannot be created.
  explicit OperationLog(const std::string& path);

  // `files`: the ids of the files concerned; empty: all.
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
