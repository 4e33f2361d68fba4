#include "fs/operations/verb_queue.h"

#include <gtest/gtest.h>

#include <future>
#include <string>
#include <vector>

namespace ckptfs {
namespace {

constexpr uid_t kAlice = 1000;
constexpr uid_t kBob = 1001;

// A verb that ends when it is told to.
class Slow {
 public:
  std::function<void()> task() {
    return [this] {
      started_.set_value();
      end_.get_future().wait();
    };
  }
  void AwaitStart() { started_.get_future().wait(); }
  void End() { end_.set_value(); }

 private:
  std::promise<void> started_;
  std::promise<void> end_;
};

TEST(VerbQueueTest, VerbsOfOneWorkspaceComeOneAfterTheOther) {
  std::vector<int> order;  // by one thread at a time, or the sanitizer tells
  {
    VerbQueue queue;
    for (int i = 0; i < 100; ++i) queue.Post(kAlice, 1, [&order, i] { order.push_back(i); });
  }
  ASSERT_EQ(order.size(), 100U);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(VerbQueueTest, ASlowVerbKeepsNoOtherWorkspaceWaiting) {
  Slow slow;
  VerbQueue queue;
  queue.Post(kAlice, 1, slow.task());
  slow.AwaitStart();
  for (int i = 0; i < 100; ++i) queue.Post(kAlice, 1, [] {});
  std::promise<void> done;
  queue.Post(kAlice, 2, [&done] { done.set_value(); });
  done.get_future().wait();
  slow.End();
}

TEST(VerbQueueTest, ManySlowVerbsOfAUserKeepNoOtherUserWaiting) {
  std::vector<Slow> slow(VerbQueue::kRunningOfUserMax);
  std::atomic<bool> one_too_many = false;
  VerbQueue queue;
  for (size_t i = 0; i < slow.size(); ++i) {
    queue.Post(kAlice, static_cast<int64_t>(i) + 1, slow[i].task());
  }
  for (Slow& verb : slow) verb.AwaitStart();
  queue.Post(kAlice, 100, [&one_too_many] { one_too_many = true; });
  std::promise<void> done;
  queue.Post(kBob, 101, [&done] { done.set_value(); });
  done.get_future().wait();
  EXPECT_FALSE(one_too_many);
  for (Slow& verb : slow) verb.End();
}

TEST(VerbQueueTest, UsersOfOneWorkspaceTakeTurns) {
  Slow slow;
  std::string order;
  {
    VerbQueue queue;
    queue.Post(kAlice, 1, slow.task());
    slow.AwaitStart();
    for (int i = 0; i < 3; ++i) queue.Post(kAlice, 1, [&order] { order += 'a'; });
    for (int i = 0; i < 3; ++i) queue.Post(kBob, 1, [&order] { order += 'b'; });
    slow.End();
  }
  EXPECT_EQ(order, "bababa");
}

}  // namespace
}  // namespace ckptfs
