#include "fs/control/answer_stream.h"

#include <algorithm>
#include <utility>

namespace ckptfs {

void AnswerStream::Send(wire::Json line) {
  std::string text = wire::ToLine(line);
  line = nullptr;  // it takes many times its text, and the wait may be long
  std::vector<Ready> ready;
  {
    MutexLock lock(mutex_);
    const auto has_room = [this]() REQUIRES(mutex_) {
      return closed_ || broken_ || Buffered() < kBufferedBytesMax;
    };
    if (!has_room()) unread_since_ = std::chrono::steady_clock::now();
    drained_.wait(lock.native(), has_room);
    unread_since_.reset();
    if (closed_ || broken_) return;
    buffer_ += text;
    ready = Match();
  }
  Deliver(ready);
}

bool AnswerStream::IsAbandoned() const {
  const MutexLock lock(mutex_);
  return closed_ || broken_;
}

std::chrono::steady_clock::duration AnswerStream::UnreadFor() const {
  const MutexLock lock(mutex_);
  if (!unread_since_) return {};
  return std::chrono::steady_clock::now() - *unread_since_;
}

void AnswerStream::Break(const Error& error) {
  std::vector<Ready> ready;
  {
    const MutexLock lock(mutex_);
    if (closed_ || broken_) return;
    broken_ = true;
    buffer_.resize(std::min(buffer_.size(), buffer_.find('\n', offset_) + 1));
    buffer_ += wire::ToLine(wire::Json{{wire::kError, wire::FromError(error)}});
    ready = Match();
  }
  drained_.notify_all();
  Deliver(ready);
}

void AnswerStream::Start() {
  const MutexLock lock(mutex_);
  state_ = State::kRunning;
}

void AnswerStream::End() {
  std::vector<Ready> ready;
  {
    const MutexLock lock(mutex_);
    state_ = State::kEnded;
    ready = Match();
  }
  Deliver(ready);
}

void AnswerStream::Read(size_t max_bytes, ReadDone done) {
  std::vector<Ready> ready;
  {
    const MutexLock lock(mutex_);
    readers_.push_back({max_bytes, std::move(done)});
    ready = Match();
  }
  Deliver(ready);
}

void AnswerStream::Close() {
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    std::string().swap(buffer_);  // frees its memory too
    offset_ = 0;
  }
  drained_.notify_all();
  FinishReaders("");
}

size_t AnswerStream::HeldBytes() const {
  const MutexLock lock(mutex_);
  return buffer_.capacity();
}

// Read bytes are erased once they are as many as the unread ones: so each byte is moved at most once on
// average.
std::string AnswerStream::Take(size_t max_bytes) {
  std::string data = buffer_.substr(offset_, max_bytes);
  offset_ += data.size();
  if (unread_since_) unread_since_ = std::chrono::steady_clock::now();
  if (offset_ >= Buffered()) {
    buffer_.erase(0, offset_);
    offset_ = 0;
  }
  return data;
}

std::vector<AnswerStream::Ready> AnswerStream::Match() {
  std::vector<Ready> ready;
  while (!readers_.empty() && (Buffered() > 0 || closed_ || state_ != State::kRunning)) {
    Reader reader = std::move(readers_.front());
    readers_.pop_front();
    ready.push_back({std::move(reader.done), Take(reader.max_bytes)});
  }
  if (!ready.empty()) drained_.notify_all();
  return ready;
}

void AnswerStream::Deliver(std::vector<Ready>& ready) {
  for (Ready& one : ready) one.done(std::move(one.data));
}

void AnswerStream::FinishReaders(const std::string& data) {
  std::deque<Reader> readers;
  {
    const MutexLock lock(mutex_);
    readers.swap(readers_);
  }
  for (Reader& reader : readers) reader.done(data);
}

}  // namespace ckptfs
