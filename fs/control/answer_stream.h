// The answer of one request to a control file.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/mutex.h"
#include "fs/control/control_requests.h"

namespace ckptfs {

// The answer of one request, on its way from the thread that runs it to the reader. Shared by both: the
// session ends with the descriptor, the thread with the operation. Holds the unread part and little more: a
// sender that is kBufferedBytesMax ahead waits until the reader has read or is gone, or until the request is
// broken off. Thread-safe; callbacks are called without a lock.
class AnswerStream : public control::Answer {
 public:
  using ReadDone = std::function<void(std::string data)>;

  // One more line may be held. Together, all requests that can run must fit into memory at this size.
  static constexpr size_t kBufferedBytesMax = size_t{256} << 10;

  void Send(wire::Json line) override;
  bool IsAbandoned() const override;
  std::chrono::steady_clock::duration UnreadFor() const override;
  void Break(const Error& error) override;

  // A request will send: from now on, reads wait.
  void Start();
  // No more data follows.
  void End();
  // Calls `done` once, with the available data, or with an empty string at the end or if nothing runs.
  void Read(size_t max_bytes, ReadDone done);
  // Finishes pending reads with an empty line.
  void Interrupt() { FinishReaders("\n"); }
  // The reader is gone, or the server stops: further data is discarded.
  void Close();

  // Memory used by data that has been sent and not read.
  size_t HeldBytes() const;

 private:
  enum class State { kIdle, kRunning, kEnded };
  struct Reader {
    size_t max_bytes = 0;
    ReadDone done;
  };
  struct Ready {
    ReadDone done;
    std::string data;
  };

  size_t Buffered() const REQUIRES(mutex_) { return buffer_.size() - offset_; }
  std::string Take(size_t max_bytes) REQUIRES(mutex_);
  // Takes the readers that can be served now.
  std::vector<Ready> Match() REQUIRES(mutex_);
  static void Deliver(std::vector<Ready>& ready);
  void FinishReaders(const std::string& data);

  mutable Mutex mutex_;
  std::condition_variable drained_;
  State state_ GUARDED_BY(mutex_) = State::kIdle;
  bool closed_ GUARDED_BY(mutex_) = false;
  bool broken_ GUARDED_BY(mutex_) = false;
  std::optional<std::chrono::steady_clock::time_point> unread_since_ GUARDED_BY(mutex_);
  std::string buffer_ GUARDED_BY(mutex_);
  size_t offset_ GUARDED_BY(mutex_) = 0;  // of the first unread byte in buffer_
  std::deque<Reader> readers_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
