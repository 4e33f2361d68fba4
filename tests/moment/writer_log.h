// Reports of the writers about their progress.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace ckptfs::moment {

// Memory shared by the writers, which are processes, and the process that makes the checkpoints. It is
// outside the filesystem under test. A writer writes only its own part; all may read all.
//
// Operations are numbered from 1. The clock is CLOCK_MONOTONIC, in nanoseconds.
class WriterLog {
 public:
  // Room for `operations_max` per writer. Construct before forking the writers.
  WriterLog(int writers, uint64_t operations_max);
  ~WriterLog();
  WriterLog(const WriterLog&) = delete;
  WriterLog& operator=(const WriterLog&) = delete;

  // Called by the writer around each operation. False: no room left.
  bool Begin(int writer);
  void Return(int writer);

  // How many operations have begun, or returned, so far.
  uint64_t Begun(int writer) const { return parts_[writer]->begun; }
  uint64_t Returned(int writer) const { return parts_[writer]->returned; }
  int writers() const { return static_cast<int>(parts_.size()); }

  // When the operation began, or returned (INT64_MAX: not yet).
  int64_t BeganNs(int writer, uint64_t number) const;
  int64_t ReturnedNs(int writer, uint64_t number) const;

  void Stop() { parts_[0]->stopped = true; }
  bool stopped() const { return parts_[0]->stopped; }

 private:
  struct Times {
    int64_t began_ns;
    int64_t returned_ns;
  };
  struct alignas(64) Part {
    std::atomic<uint64_t> begun;
    std::atomic<uint64_t> returned;
    std::atomic<bool> stopped;  // in the first part, for all
  };
  Times* TimesOf(int writer) const { return reinterpret_cast<Times*>(parts_[writer] + 1); }

  const uint64_t operations_max_;
  const size_t bytes_;  // of each part
  std::vector<Part*> parts_;
};

// A checkpoint, and the writers' progress before and after it.
struct Checkpoint {
  std::string name;
  std::vector<uint64_t> returned_before;  // by writer
  std::vector<uint64_t> begun_after;
  int64_t took_ns = 0;
};

int64_t NowNs();

}  // namespace ckptfs::moment
