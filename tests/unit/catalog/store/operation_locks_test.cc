#include "catalog/store/operation_locks.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace ckptfs {
namespace {

using std::chrono::milliseconds;

// Takes locks on a thread of its own, and lets them go when it is destroyed.
class Holder {
 public:
  Holder(OperationLocks& locks, std::vector<int64_t> workspaces, bool all = false)
      : thread_([this, &locks, workspaces = std::move(workspaces), all] {
          const OperationLocks::Hold hold = all ? locks.LockAll() : locks.Lock(workspaces);
          holds_.set_value();
          end_.get_future().wait();
        }) {}
  ~Holder() { end_.set_value(); }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  bool HoldsSoon() { return held_.wait_for(milliseconds(5000)) == std::future_status::ready; }
  bool Waits() { return held_.wait_for(milliseconds(50)) == std::future_status::timeout; }

 private:
  std::promise<void> holds_;
  std::future<void> held_ = holds_.get_future();
  std::promise<void> end_;
  std::jthread thread_;
};

TEST(OperationLocksTest, OtherWorkspacesDoNotWait) {
  OperationLocks locks;
  Holder first(locks, {1});
  ASSERT_TRUE(first.HoldsSoon());
  Holder second(locks, {2, 3});
  EXPECT_TRUE(second.HoldsSoon());
  Holder none(locks, {});
  EXPECT_TRUE(none.HoldsSoon());
}

TEST(OperationLocksTest, TheSameWorkspaceWaits) {
  OperationLocks locks;
  auto first = std::make_unique<Holder>(locks, std::vector<int64_t>{1, 2});
  ASSERT_TRUE(first->HoldsSoon());
  Holder second(locks, {2});
  EXPECT_TRUE(second.Waits());
  first.reset();
  EXPECT_TRUE(second.HoldsSoon());
}

TEST(OperationLocksTest, WhoCameFirstIsServedFirst) {
  OperationLocks locks;
  auto holder = std::make_unique<Holder>(locks, std::vector<int64_t>{1});
  ASSERT_TRUE(holder->HoldsSoon());
  // Waits for 1, and has its place in the queue for 2.
  auto both = std::make_unique<Holder>(locks, std::vector<int64_t>{1, 2});
  ASSERT_TRUE(both->Waits());
  Holder later(locks, {2});
  EXPECT_TRUE(later.Waits()) << "it would starve who waits for both";
  holder.reset();
  ASSERT_TRUE(both->HoldsSoon());
  both.reset();
  EXPECT_TRUE(later.HoldsSoon());
}

TEST(OperationLocksTest, TheWholeStoreIsHeldAlone) {
  OperationLocks locks;
  auto first = std::make_unique<Holder>(locks, std::vector<int64_t>{});
  ASSERT_TRUE(first->HoldsSoon());
  auto all = std::make_unique<Holder>(locks, std::vector<int64_t>{}, /*all=*/true);
  EXPECT_TRUE(all->Waits());
  Holder last(locks, {7});
  EXPECT_TRUE(last.Waits());
  first.reset();
  ASSERT_TRUE(all->HoldsSoon());
  EXPECT_TRUE(last.Waits());
  all.reset();
  EXPECT_TRUE(last.HoldsSoon());
}

TEST(OperationLocksTest, ManyAtOnceExcludeEachOther) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 500;
  OperationLocks locks;
  std::vector<int> counters(4);  // each guarded by the lock of its number
  std::vector<std::jthread> threads;
  threads.reserve(kThreads);
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < kRounds; ++round) {
        const int64_t one = (thread + round) % 4;
        const int64_t other = round % 4;
        const OperationLocks::Hold hold = locks.Lock({one, other});
        ++counters[static_cast<size_t>(one)];
        if (one != other) ++counters[static_cast<size_t>(other)];
      }
    });
  }
  threads.clear();
  int total = 0;
  for (const int counter : counters) total += counter;
  EXPECT_EQ(total, kThreads * kRounds * 2 - kThreads / 4 * kRounds);
}

}  // namespace
}  // namespace ckptfs
