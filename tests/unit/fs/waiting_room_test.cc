#include "fs/waiting_room.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

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

}  // namespace
}  // namespace ckptfs
