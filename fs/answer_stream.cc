#include "fs/answer_stream.h"

#include <utility>

namespace ckptfs {

void AnswerStream::Send(const wire::Json& line) {
  std::string text = wire::ToLine(line);
  std::vector<Ready> ready;
  {
    std::unique_lock lock(mutex_);
    drained_.wait(lock, [this] { return closed_ || Buffered() < kBufferedBytesMax; });
    if (closed_) return;
    buffer_ += text;
    ready = Match();
  }
  Deliver(ready);
}

bool AnswerStream::IsAbandoned() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

void AnswerStream::Start() {
  const std::lock_guard lock(mutex_);
  state_ = State::kRunning;
}

void AnswerStream::End() {
  std::vector<Ready> ready;
  {
    const std::lock_guard lock(mutex_);
    state_ = State::kEnded;
    ready = Match();
  }
  Deliver(ready);
}

void AnswerStream::Read(size_t max_bytes, ReadDone done) {
  std::vector<Ready> ready;
  {
    const std::lock_guard lock(mutex_);
    readers_.push_back({max_bytes, std::move(done)});
    ready = Match();
  }
  Deliver(ready);
}

void AnswerStream::Close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    std::string().swap(buffer_);  // with its memory
    offset_ = 0;
  }
  drained_.notify_all();
  FinishReaders("");
}

size_t AnswerStream::HeldBytes() const {
  const std::lock_guard lock(mutex_);
  return buffer_.capacity();
}

// What has been read goes when it is as much as what has not: moving that costs each byte once.
std::string AnswerStream::Take(size_t max_bytes) {
  std::string data = buffer_.substr(offset_, max_bytes);
  offset_ += data.size();
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
    const std::lock_guard lock(mutex_);
    readers.swap(readers_);
  }
  for (Reader& reader : readers) reader.done(data);
}

}  // namespace ckptfs
