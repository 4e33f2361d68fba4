#include "fs/nodes/freeze_lock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace ckptfs {
namespace {

using std::chrono::milliseconds;

constexpr NodeId kGateNode = 7;

TEST(FreezeLockTest, ClosingWaitsForThoseInside) {
  FreezeLock freeze_lock;
  std::atomic<bool> left = false;
  std::atomic<bool> inside = false;
  std::thread user([&] {
    const FreezeLock::Pass pass(freeze_lock, kGateNode);
    inside = true;
    std::this_thread::sleep_for(milliseconds(30));
    left = true;
  });
  while (!inside) std::this_thread::yield();
  {
    const FreezeLock::Closed closed(freeze_lock);
    EXPECT_TRUE(left);
  }
  user.join();
}

TEST(FreezeLockTest, NobodyEntersWhileItIsClosed) {
  FreezeLock freeze_lock;
  std::atomic<int> entered = 0;
  std::vector<std::thread> users;
  {
    const FreezeLock::Closed closed(freeze_lock);
    for (int i = 0; i < 4; ++i) {
      users.emplace_back([&] {
        const FreezeLock::Pass pass(freeze_lock, kGateNode);
        ++entered;
      });
    }
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_EQ(entered, 0);
  }
  for (std::thread& user : users) user.join();
  EXPECT_EQ(entered, 4);
}

TEST(FreezeLockTest, TellsWhoWaits) {
  FreezeLock freeze_lock;
  std::thread user;
  {
    const FreezeLock::Closed closed(freeze_lock);
    EXPECT_FALSE(freeze_lock.Waits(kGateNode));
    user = std::thread([&] { const FreezeLock::Pass pass(freeze_lock, kGateNode); });
    while (!freeze_lock.Waits(kGateNode)) std::this_thread::yield();
    EXPECT_FALSE(freeze_lock.Waits(kGateNode + 1));
  }
  user.join();
  EXPECT_FALSE(freeze_lock.Waits(kGateNode));
}

TEST(FreezeLockTest, AStreamOfUsersDoesNotStarveTheCloser) {
  FreezeLock freeze_lock;
  std::atomic<bool> stop = false;
  std::vector<std::thread> users;
  users.reserve(3);
  for (int i = 0; i < 3; ++i) {
    users.emplace_back([&] {
      while (!stop) {
        const FreezeLock::Pass pass(freeze_lock, kGateNode);
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    });
  }
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 50; ++i) const FreezeLock::Closed closed(freeze_lock);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  stop = true;
  for (std::thread& user : users) user.join();
}

TEST(FreezeLockTest, AThreadThatMustNotWaitIsToldThatItIsShut) {
  FreezeLock freeze_lock;
  const FreezeLock::NoWaiting no_waiting;
  { const FreezeLock::Pass open(freeze_lock, 1); }
  {
    const FreezeLock::Closed closed(freeze_lock);
    EXPECT_THROW(FreezeLock::Pass(freeze_lock, 1), FreezeLock::MustNotWait);
    EXPECT_FALSE(freeze_lock.Waits(1));
  }
  { const FreezeLock::Pass open_again(freeze_lock, 1); }
}

TEST(FreezeLockTest, WhoApproachesStandsAtItAlready) {
  FreezeLock freeze_lock;
  {
    const FreezeLock::Approach approach(freeze_lock, kGateNode);
    EXPECT_TRUE(freeze_lock.Waits(kGateNode));
    const FreezeLock::Closed closed(freeze_lock);  // which is not waited for
  }
  EXPECT_FALSE(freeze_lock.Waits(kGateNode));
}

TEST(FreezeLockTest, WhoHasBeenKilledDoesNotWait) {
  FreezeLock freeze_lock;
  const std::atomic<bool> killed = true;
  const AskerLife::Scope asker(killed);
  { const FreezeLock::Pass open(freeze_lock, kGateNode); }
  const FreezeLock::Closed closed(freeze_lock);
  EXPECT_THROW(FreezeLock::Pass(freeze_lock, kGateNode), Error);
  EXPECT_FALSE(freeze_lock.Waits(kGateNode));
}

TEST(FreezeLockTest, LongWorkIsNotBegunWhereNobodyMayWait) {
  FreezeLock::BeforeLongWork();
  {
    const FreezeLock::NoWaiting no_waiting;
    EXPECT_THROW(FreezeLock::BeforeLongWork(), FreezeLock::MustNotWork);
  }
  const FreezeLock::NoLongWork no_long_work;
  EXPECT_THROW(FreezeLock::BeforeLongWork(), FreezeLock::MustNotWork);
}

TEST(FreezeLockTest, TwoClosersTakeTurns) {
  FreezeLock freeze_lock;
  std::atomic<int> holders = 0;
  std::atomic<bool> overlapped = false;
  const auto close = [&] {
    for (int i = 0; i < 200; ++i) {
      const FreezeLock::Closed closed(freeze_lock);
      if (++holders != 1) overlapped = true;
      --holders;
    }
  };
  std::thread first(close);
  std::thread second(close);
  first.join();
  second.join();
  EXPECT_FALSE(overlapped);
}

}  // namespace
}  // namespace ckptfs
