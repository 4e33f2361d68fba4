#include "tests/moment/writer_log.h"

#include <sys/mman.h>

#include <chrono>
#include <limits>

#include "backend/base/error.h"

namespace ckptfs::moment {

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

WriterLog::WriterLog(int writers, uint64_t operations_max)
    : operations_max_(operations_max), bytes_(sizeof(Part) + operations_max * sizeof(Times)) {
  for (int writer = 0; writer < writers; ++writer) {
    // Zeroed, which is how a part begins; only what is used takes up memory.
    void* const memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) ThrowErrno("get memory for the log");
    parts_.push_back(static_cast<Part*>(memory));
  }
}

WriterLog::~WriterLog() {
  for (Part* const part : parts_) munmap(part, bytes_);
}

bool WriterLog::Begin(int writer) {
  Part& part = *parts_[writer];
  const uint64_t index = part.begun;
  if (index == operations_max_) return false;
  // Before the count: whoever sees the operation begun may ask when.
  TimesOf(writer)[index].began_ns = NowNs();
  part.begun = index + 1;
  return true;
}

void WriterLog::Return(int writer) {
  Part& part = *parts_[writer];
  const uint64_t index = part.returned;
  part.returned = index + 1;
  TimesOf(writer)[index].returned_ns = NowNs();
}

int64_t WriterLog::BeganNs(int writer, uint64_t number) const {
  return TimesOf(writer)[number - 1].began_ns;
}

int64_t WriterLog::ReturnedNs(int writer, uint64_t number) const {
  if (number > Returned(writer)) return std::numeric_limits<int64_t>::max();
  return TimesOf(writer)[number - 1].returned_ns;
}

}  // namespace ckptfs::moment
