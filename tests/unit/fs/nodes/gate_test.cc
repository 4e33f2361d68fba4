#include "fs/nodes/gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace ckptfs {
namespace {

using std::chrono::milliseconds;

constexpr NodeId kGateNode = 7;

TEST(GateTest, ClosingWaitsForThoseInside) {
  Gate gate;
  std::atomic<bool> left = false;
  std::atomic<bool> inside = false;
  std::thread user([&] {
    const Gate::Pass pass(gate, kGateNode);
    inside = true;
    std::this_thread::sleep_for(milliseconds(30));
    left = true;
  });
  while (!inside) std::this_thread::yield();
  {
    const Gate::Closed closed(gate);
    EXPECT_TRUE(left);
  }
  user.join();
}

TEST(GateTest, NobodyEntersWhileItIsClosed) {
  Gate gate;
  std::atomic<int> entered = 0;
  std::vector<std::thread> users;
  {
    const Gate::Closed closed(gate);
    for (int i = 0; i < 4; ++i) {
      users.emplace_back([&] {
        const Gate::Pass pass(gate, kGateNode);
        ++entered;
      });
    }
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_EQ(entered, 0);
  }
  for (std::thread& user : users) user.join();
  EXPECT_EQ(entered, 4);
}

TEST(GateTest, TellsWhoWaits) {
  Gate gate;
  std::thread user;
  {
    const Gate::Closed closed(gate);
    EXPECT_FALSE(gate.Waits(kGateNode));
    user = std::thread([&] { const Gate::Pass pass(gate, kGateNode); });
    while (!gate.Waits(kGateNode)) std::this_thread::yield();
    EXPECT_FALSE(gate.Waits(kGateNode + 1));
  }
  user.join();
  EXPECT_FALSE(gate.Waits(kGateNode));
}

TEST(GateTest, AStreamOfUsersDoesNotStarveTheCloser) {
  Gate gate;
  std::atomic<bool> stop = false;
  std::vector<std::thread> users;
  users.reserve(3);
  for (int i = 0; i < 3; ++i) {
    users.emplace_back([&] {
      while (!stop) {
        const Gate::Pass pass(gate, kGateNode);
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    });
  }
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 50; ++i) const Gate::Closed closed(gate);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  stop = true;
  for (std::thread& user : users) user.join();
}

TEST(GateTest, AThreadThatMustNotWaitIsToldThatItIsShut) {
  Gate gate;
  const Gate::NoWaiting no_waiting;
  { const Gate::Pass open(gate, 1); }
  {
    const Gate::Closed closed(gate);
    EXPECT_THROW(Gate::Pass(gate, 1), Gate::MustNotWait);
    EXPECT_FALSE(gate.Waits(1));
  }
  { const Gate::Pass open_again(gate, 1); }
}

TEST(GateTest, WhoApproachesStandsAtItAlready) {
  Gate gate;
  {
    const Gate::Approach approach(gate, kGateNode);
    EXPECT_TRUE(gate.Waits(kGateNode));
    const Gate::Closed closed(gate);  // which is not waited for
  }
  EXPECT_FALSE(gate.Waits(kGateNode));
}

TEST(GateTest, WhoHasBeenKilledDoesNotWait) {
  Gate gate;
  const std::atomic<bool> killed = true;
  const AskerLife::Scope asker(killed);
  { const Gate::Pass open(gate, kGateNode); }
  const Gate::Closed closed(gate);
  EXPECT_THROW(Gate::Pass(gate, kGateNode), Error);
  EXPECT_FALSE(gate.Waits(kGateNode));
}

TEST(GateTest, LongWorkIsNotBegunWhereNobodyMayWait) {
  Gate::BeforeLongWork();
  {
    const Gate::NoWaiting no_waiting;
    EXPECT_THROW(Gate::BeforeLongWork(), Gate::MustNotWork);
  }
  const Gate::NoLongWork no_long_work;
  EXPECT_THROW(Gate::BeforeLongWork(), Gate::MustNotWork);
}

TEST(GateTest, TwoClosersTakeTurns) {
  Gate gate;
  std::atomic<int> holders = 0;
  std::atomic<bool> overlapped = false;
  const auto close = [&] {
    for (int i = 0; i < 200; ++i) {
      const Gate::Closed closed(gate);
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
