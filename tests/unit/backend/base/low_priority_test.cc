#include "backend/base/low_priority.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <thread>

namespace ckptfs {
namespace {

int Priority() { return getpriority(PRIO_PROCESS, 0); }

TEST(LowPriorityTest, IsOfOneThreadWhileItExists) {
  const int before = Priority();
  int during = before;
  int of_another = before;
  std::thread([&] {
    const LowPriority low;
    during = Priority();
    std::thread([&] { of_another = Priority(); }).join();  // which inherits it
  }).join();
  EXPECT_GT(during, 0);
  EXPECT_GE(during, before);
  EXPECT_EQ(of_another, during);
  EXPECT_EQ(Priority(), before) << "of this thread";
}

TEST(LowPriorityTest, NobodyGetsAHigherOneByIt) {
  int during = 0;
  int after = 0;
  std::thread([&] {
    setpriority(PRIO_PROCESS, 0, 19);
    {
      const LowPriority low;
      during = Priority();
    }
    after = Priority();
  }).join();
  EXPECT_EQ(during, 19);
  EXPECT_EQ(after, 19);
}

}  // namespace
}  // namespace ckptfs
