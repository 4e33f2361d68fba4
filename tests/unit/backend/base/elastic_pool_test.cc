#include "backend/base/elastic_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <thread>

namespace ckptfs {
namespace {

// Each of them waits for all others: no task may stand in a queue behind another.
TEST(ElasticPool, TasksThatWaitForEachOtherAllGoOn) {
  constexpr int kTasks = 100;
  std::latch all(kTasks + 1);
  ElasticPool room;
  for (int i = 0; i < kTasks; ++i) room.Post([&] { all.arrive_and_wait(); });
  all.arrive_and_wait();
}

// Counts how many tasks of an owner have been begun; they end with this.
class Begun {
 public:
  void Post(ElasticPool& room, ElasticPool::Owner owner, int tasks) {
    for (int i = 0; i < tasks; ++i) {
      room.Post(owner, [this] {
        ++count_;
        end_.wait();
      });
    }
  }
  void End() { end_.count_down(); }
  // When no more of them are begun.
  int Count() const {
    int before = -1;
    while (before != count_) {
      before = count_;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return before;
  }

 private:
  std::atomic<int> count_ = 0;
  std::latch end_{1};
};

TEST(ElasticPool, NoOwnerHasMoreThreadsThanHeLeavesFree) {
  Begun greedy;
  Begun second;
  Begun late;
  ElasticPool room(std::chrono::seconds(1), 12);
  greedy.Post(room, 1, 100);
  EXPECT_EQ(greedy.Count(), 6);
  second.Post(room, 2, 100);
  EXPECT_EQ(second.Count(), 3);  // of what was left
  late.Post(room, 3, 1);
  EXPECT_EQ(late.Count(), 1);
  EXPECT_EQ(greedy.Count(), 6);
  for (Begun* const begun : {&greedy, &second, &late}) begun->End();
}

TEST(ElasticPool, TheHouseHasAllThreads) {
  Begun house;
  ElasticPool room(std::chrono::seconds(1), 12);
  house.Post(room, ElasticPool::kHouse, 100);
  EXPECT_EQ(house.Count(), 12);
  house.End();
}

TEST(ElasticPool, ItsEndWaitsForWhatWasPosted) {
  std::atomic<int> done = 0;
  {
    ElasticPool room;
    for (int i = 0; i < 1000; ++i) room.Post(i % 3, [&] { ++done; });
  }
  EXPECT_EQ(done, 1000);
}

// The last use of a pool by a thread that ends comes before the end of the pool.
TEST(ElasticPool, NothingUsesItAfterItsEnd) {
  for (int i = 0; i < 2000; ++i) {
    std::latch all(3);  // outlives the tasks, for which the end of the pool waits
    ElasticPool pool;
    for (int task = 0; task < 3; ++task) pool.Post([&all] { all.arrive_and_wait(); });
  }
}

TEST(ElasticPool, WhatWouldWaitForAThreadIsRefusedIfItIsToBe) {
  std::latch go_on(1);
  ElasticPool room(std::chrono::seconds(5), /*threads_max=*/2);
  EXPECT_TRUE(room.TryPost([&] { go_on.wait(); }));
  EXPECT_TRUE(room.TryPost([&] { go_on.wait(); }));
  EXPECT_FALSE(room.TryPost([] {}));
  go_on.count_down();
  while (!room.TryPost([] {})) std::this_thread::yield();
}

}  // namespace
}  // namespace ckptfs
