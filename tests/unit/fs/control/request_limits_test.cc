// Shares of memory and of turns, and answers that are given up.
#include "fs/control/request_limits.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <deque>
#include <thread>

#include "fs/control/control_requests.h"

namespace ckptfs::control {
namespace {

using namespace std::chrono_literals;

// An answer whose reader has not read for so long.
class FakeAnswer : public Answer {
 public:
  void Send(wire::Json /*line*/) override {}
  bool IsAbandoned() const override { return is_abandoned; }
  std::chrono::steady_clock::duration UnreadFor() const override { return unread; }
  void Break(const Error& error) override {
    broken_with = error.errno_value();
    is_abandoned = true;
  }

  std::atomic<bool> is_abandoned = false;
  std::atomic<int> broken_with = 0;
  std::chrono::steady_clock::duration unread{};
};

int ErrnoOfTaking(RequestLimits& limits, size_t bytes) {
  try {
    limits.Take(bytes);
    return 0;
  } catch (const LimitError& error) {
    return error.errno_value();
  }
}

class RequestLimitsTest : public ::testing::Test {
 protected:
  static constexpr size_t kShare = RequestShares::kBytesMaxOfUser;
  static constexpr size_t kRest = RequestShares::kBytesMax - kShare;
  static_assert(kRest > 0 && kRest <= kShare);

  RequestLimits& Make(uid_t uid) {
    return limits_.emplace_back(shares_, uid, answers_.emplace_back());
  }

  RequestShares shares_;
  std::deque<FakeAnswer> answers_;
  std::deque<RequestLimits> limits_;
};

TEST_F(RequestLimitsTest, OneUsersRequestsShare) {
  RequestLimits& one = Make(1000);
  RequestLimits& other = Make(1000);
  EXPECT_EQ(ErrnoOfTaking(one, kShare / 2), 0);
  EXPECT_EQ(ErrnoOfTaking(other, kShare), E2BIG);
  EXPECT_EQ(ErrnoOfTaking(other, kShare / 2), 0);
  EXPECT_EQ(ErrnoOfTaking(one, 1), E2BIG);
  other.Give(kShare / 2);
  EXPECT_EQ(ErrnoOfTaking(one, 1), 0);
  EXPECT_EQ(ErrnoOfTaking(Make(1001), kShare / 2), 0);
  EXPECT_EQ(ErrnoOfTaking(Make(0), 4 * kShare), 0) << "root's do not count";
}

TEST_F(RequestLimitsTest, WhatIsNotReadIsGivenUpForOthers) {
  RequestLimits& unread = Make(1000);
  RequestLimits& busy = Make(1001);
  EXPECT_EQ(ErrnoOfTaking(unread, kShare), 0);
  EXPECT_EQ(ErrnoOfTaking(busy, kRest), 0);
  RequestLimits& late = Make(1002);
  EXPECT_EQ(ErrnoOfTaking(late, 1000), EBUSY) << "all are being read";
  answers_[0].unread = 1h;
  std::jthread reader([&] {
    while (answers_[0].broken_with == 0) std::this_thread::yield();
    EXPECT_THROW(unread.RequireWanted(), LimitError);
    unread.Give(kShare);
  });
  EXPECT_EQ(ErrnoOfTaking(late, 1000), 0);
  EXPECT_EQ(answers_[0].broken_with, ETIMEDOUT);
  EXPECT_EQ(answers_[1].broken_with, 0);
}

TEST_F(RequestLimitsTest, AUsersTurnsAreCounted) {
  RequestLimits& first = Make(1000);
  RequestLimits& second = Make(1000);
  const Turn one(first);
  auto two = std::make_unique<Turn>(second);
  const Turn of_another(Make(1001));
  const Turn of_root(Make(0));
  RequestLimits& third = Make(1000);
  std::atomic<bool> has_turn = false;
  std::jthread waiting([&] {
    const Turn turn(third);
    has_turn = true;
  });
  std::this_thread::sleep_for(50ms);
  EXPECT_FALSE(has_turn);
  two.reset();
  waiting.join();
  EXPECT_TRUE(has_turn);
}

TEST_F(RequestLimitsTest, WhoIsGoneWaitsForNoTurn) {
  const Turn one(Make(1000));
  const Turn two(Make(1000));
  RequestLimits& third = Make(1000);
  std::jthread leaver([this] {
    std::this_thread::sleep_for(50ms);
    answers_.back().is_abandoned = true;
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THROW(const Turn turn(third), LimitError);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 1s);
}

}  // namespace
}  // namespace ckptfs::control
