#include "backend/base/periodic_timer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <thread>

namespace ckptfs {
namespace {

TEST(PeriodicTimer, WorksUntilThereIsNothingLeftAndAgainWhenWoken) {
  std::atomic<int> left = 3;
  std::atomic<int> calls = 0;
  std::latch first(1);
  std::latch second(1);
  PeriodicTimer task(std::chrono::milliseconds(1), [&] {
    ++calls;
    if (--left > 0) return true;
    if (calls == 3) first.count_down();
    if (calls == 4) second.count_down();
    return false;
  });
  EXPECT_EQ(calls, 0);
  task.Wake();
  first.wait();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(calls, 3);
  task.Wake();
  second.wait();
  EXPECT_EQ(calls, 4);
}

TEST(PeriodicTimer, EndsWhileItSleeps) {
  PeriodicTimer task(std::chrono::hours(1), [] { return true; });
  task.Wake();
}

}  // namespace
}  // namespace ckptfs
