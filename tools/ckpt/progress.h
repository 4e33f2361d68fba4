// A progress bar on standard error.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace ckptfs::cli {

// Redraws one line if standard error is a terminal; else draws nothing. Clear and the destructor erase the
// line. Used by one thread.
class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar() { Clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void Show(uint64_t done_bytes, uint64_t total_bytes, uint64_t done_files, uint64_t total_files);
  // The daemon's progress object: done_bytes, total_bytes, done_files, total_files.
  void Show(const nlohmann::json& progress);
  void Clear();

  // The line for a terminal of that width.
  static std::string Line(uint64_t done_bytes, uint64_t total_bytes, uint64_t done_files,
                          uint64_t total_files, size_t columns);

 private:
  bool is_terminal_;
  bool is_shown_ = false;
};

}  // namespace ckptfs::cli
