#include "backend/base/periodic_timer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

namespace ckptfs {
namespace {

using std::chrono_literals::operator""ms;

TEST(PeriodicTimer, WorksUntilThereIsNothingLeftAndAgainWhenWoken) {
  std::atomic<int> left = 3;
  std::atomic<int> calls = 0;
  std::latch first(1);
  std::latch second(1);
  PeriodicTimer task(1ms, [&] {
    ++calls;
    if (--left > 0) return true;
    if (calls == 3) first.count_down();
    if (calls == 4) second.count_down();
    return false;
  });
  EXPECT_EQ(calls, 0);
  task.Wake();
  first.wait();
  std::this_thread::sleep_for(20ms);
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
