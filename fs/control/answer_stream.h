// The answer of one request to a control file.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "fs/control/control_requests.h"

namespace ckptfs {

// The answer of one request on its way from the thread that runs it to whoever reads. Shared by
// the two: the session ends with the descriptor, the thread with the operation. Holds what has not been
// read yet, and not much more: who sends waits for a reader that is kBufferedBytesMax behind, until that
// has read or is gone, or until the request is broken off. Any thread may call any function; callbacks are called without a lock.
class AnswerStream : public control::Answer {
 public:
  using ReadDone = std::function<void(std::string data)>;

  // A line more may be held. All requests that can run have to have room for as much.
  static constexpr size_t kBufferedBytesMax = size_t{256} << 10;

  void Send(wire::Json line) override;
  bool IsAbandoned() const override;
  std::chrono::steady_clock::duration UnreadFor() const override;
  void Break(const Error& error) override;

  // A request will send: from now on reads wait.
  void Start();
  // Nothing more comes.
  void End();
  // Calls `done` once, with what there is, or with an empty string at the end or if nothing runs.
  void Read(size_t max_bytes, ReadDone done);
  // Finishes pending reads with an empty line.
  void Interrupt() { FinishReaders("\n"); }
  // The reader is gone, or the server stops: what is still sent goes nowhere.
  void Close();

  // Of memory for what has been sent and not read.
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

  size_t Buffered() const { return buffer_.size() - offset_; }
  std::string Take(size_t max_bytes);
  // Takes the readers that can be served now. Both with the lock.
  std::vector<Ready> Match();
  static void Deliver(std::vector<Ready>& ready);
  void FinishReaders(const std::string& data);

  mutable std::mutex mutex_;
  std::condition_variable drained_;
  State state_ = State::kIdle;
  bool closed_ = false;
  bool broken_ = false;
  std::optional<std::chrono::steady_clock::time_point> unread_since_;
  std::string buffer_;
  size_t offset_ = 0;  // of the first byte in buffer_ that has not been read
  std::deque<Reader> readers_;
};

}  // namespace ckptfs
