#include "backend/base/serial_executor.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <future>
#include <thread>
#include <vector>

namespace ckptfs {
namespace {

TEST(SerialExecutorTest, TasksRunInTheirOrderOnAThreadOfTheirOwn) {
  std::vector<int> order;
  std::thread::id thread;
  {
    SerialExecutor tasks;
    for (int i = 0; i < 100; ++i) tasks.Post([&order, i] { order.push_back(i); });
    tasks.Post([&thread] { thread = std::this_thread::get_id(); });
  }  // which waits for them
  ASSERT_EQ(order.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  EXPECT_NE(thread, std::thread::id());
  EXPECT_NE(thread, std::this_thread::get_id());
}

TEST(SerialExecutorTest, WhoPostsDoesNotWait) {
  std::promise<void> goes_on;
  std::promise<void> done;
  SerialExecutor tasks;
  tasks.Post([&] { goes_on.get_future().wait(); });
  tasks.Post([&] { done.set_value(); });
  const auto is_done = done.get_future();
  EXPECT_EQ(is_done.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  goes_on.set_value();
  EXPECT_EQ(is_done.wait_for(std::chrono::seconds(60)), std::future_status::ready);
}

TEST(SerialExecutorTest, ATaskMayPostAnother) {
  int done = 0;
  {
    SerialExecutor tasks;
    std::promise<void> posted;
    tasks.Post([&] {
      tasks.Post([&] { ++done; });
      posted.set_value();
    });
    posted.get_future().wait();
  }
  EXPECT_EQ(done, 1);
}

}  // namespace
}  // namespace ckptfs
