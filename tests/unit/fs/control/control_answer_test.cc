// How an answer gets from the thread that sends it to who reads it, and what is held meanwhile.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>

#include "fs/control/answer_stream.h"

namespace ckptfs {
namespace {

constexpr size_t kLineBytes = 10'000;
constexpr size_t kLines = 2000;  // twenty times what may be held

// Reads once; waits until there is something.
std::string ReadSome(AnswerStream& answer, size_t max_bytes) {
  std::string result;
  std::atomic<bool> done = false;
  answer.Read(max_bytes, [&](const std::string& data) {
    result = data;
    done = true;
    done.notify_all();
  });
  done.wait(false);
  return result;
}

class ControlAnswer : public ::testing::Test {
 protected:
  // Sends kLines lines, each of a letter of its own.
  void SendAll() {
    for (size_t i = 0; i < kLines; ++i) {
      answer_.Send(wire::Json(std::string(kLineBytes, static_cast<char>('a' + i % 26))));
    }
    answer_.End();
  }

  AnswerStream answer_;
};

TEST_F(ControlAnswer, HoldsNoMoreThanWhatASlowReaderHasNotRead) {
  answer_.Start();
  std::jthread sender([this] { SendAll(); });
  size_t held = 0;
  size_t read = 0;
  while (true) {
    const std::string data = ReadSome(answer_, 3000);
    if (data.empty()) break;
    read += data.size();
    held = std::max(held, answer_.HeldBytes());
  }
  EXPECT_EQ(read, kLines * (kLineBytes + 3)) << "each in quotation marks, and a line";
  EXPECT_LT(held, 6 * AnswerStream::kBufferedBytesMax);
}

TEST_F(ControlAnswer, ComesInOrder) {
  answer_.Start();
  std::jthread sender([this] { SendAll(); });
  std::string all;
  for (size_t size = 1;; size = size * 7 % 50'001 + 1) {
    const std::string data = ReadSome(answer_, size);
    if (data.empty()) break;
    all += data;
  }
  std::string expected;
  for (size_t i = 0; i < kLines; ++i) {
    expected += '"' + std::string(kLineBytes, static_cast<char>('a' + i % 26)) + "\"\n";
  }
  EXPECT_TRUE(all == expected);
}

TEST_F(ControlAnswer, WhoSendsWaitsForAReaderUntilThatIsGone) {
  answer_.Start();
  std::atomic<bool> ended = false;
  std::jthread sender([&] {
    SendAll();
    ended = true;
  });
  while (answer_.HeldBytes() < AnswerStream::kBufferedBytesMax) std::this_thread::yield();
  EXPECT_FALSE(ended);
  EXPECT_FALSE(answer_.IsAbandoned());
  answer_.Close();
  sender.join();
  EXPECT_TRUE(ended);
  EXPECT_TRUE(answer_.IsAbandoned());
  EXPECT_LT(answer_.HeldBytes(), kLineBytes);
  EXPECT_EQ(ReadSome(answer_, 100), "");
}

TEST_F(ControlAnswer, OneThatIsBrokenOffEndsWithAnErrorBehindAWholeLine) {
  answer_.Start();
  std::jthread sender([this] { SendAll(); });
  std::string all = ReadSome(answer_, kLineBytes / 2);
  while (answer_.UnreadFor() == std::chrono::steady_clock::duration::zero()) {
    std::this_thread::yield();
  }
  answer_.Break(Error(ETIMEDOUT, "send", "it was not read"));
  sender.join();
  EXPECT_TRUE(answer_.IsAbandoned());
  for (std::string data; !(data = ReadSome(answer_, 3000)).empty();) all += data;
  const size_t first = all.find('\n');
  ASSERT_EQ(first, kLineBytes + 2);
  const wire::Json last = wire::Json::parse(all.substr(first + 1));
  EXPECT_EQ(last["error"]["errno"], ETIMEDOUT);
}

}  // namespace
}  // namespace ckptfs
