#include "fs/waiting_room.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <thread>

namespace ckptfs {
namespace {

// Each of them waits for all others: no task may stand in a queue behind another.
TEST(WaitingRoom, TasksThatWaitForEachOtherAllGoOn) {
  constexpr int kTasks = 100;
  std::latch all(kTasks + 1);
  WaitingRoom room;
  for (int i = 0; i < kTasks; ++i) room.Post([&] { all.arrive_and_wait(); });
  all.arrive_and_wait();
}

TEST(WaitingRoom, ItsEndWaitsForWhatWasPosted) {
  std::atomic<int> done = 0;
  {
    WaitingRoom room;
    for (int i = 0; i < 1000; ++i) room.Post([&] { ++done; });
  }
  EXPECT_EQ(done, 1000);
}

TEST(WaitingRoom, WhatWouldWaitForAThreadIsRefusedIfItIsToBe) {
  std::latch go_on(1);
  WaitingRoom room(std::chrono::seconds(5), /*threads_max=*/2);
  EXPECT_TRUE(room.TryPost([&] { go_on.wait(); }));
  EXPECT_TRUE(room.TryPost([&] { go_on.wait(); }));
  EXPECT_FALSE(room.TryPost([] {}));
  go_on.count_down();
  while (!room.TryPost([] {})) std::this_thread::yield();
}

}  // namespace
}  // namespace ckptfs
