#include "fs/fuse/ring_thread.h"

#include <gtest/gtest.h>
#include <liburing.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace ckptfs {
namespace {

// A thread that serves a ring as libfuse's do: it sleeps in io_uring_submit_and_wait, and takes what comes.
class RingThreadTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const int result = io_uring_queue_init(64, &ring_, 0); result < 0) {
      GTEST_SKIP() << "no io_uring here: " << std::strerror(-result);
    }
    has_ring_ = true;
    thread_ = std::jthread([this] { Serve(); });
    served_ = ring_thread_.get_future().get();
  }

  void TearDown() override {
    if (thread_.joinable()) Stop();
    if (has_ring_) io_uring_queue_exit(&ring_);
  }

  void Stop() {
    served_->Run([this] {
      stop_ = true;
      Wake();
    });
    thread_.join();
  }

  // On the ring's thread.
  void Wake() {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) {  // many tasks since it last slept
      io_uring_submit(&ring_);
      entry = io_uring_get_sqe(&ring_);
    }
    io_uring_prep_nop(entry);
    ++woken_;
  }

  io_uring ring_{};
  bool has_ring_ = false;
  bool stop_ = false;  // the ring's thread's own, as is:
  int woken_ = 0;
  int completed_ = 0;
  std::promise<std::shared_ptr<RingThread>> ring_thread_;
  std::shared_ptr<RingThread> served_;
  std::jthread thread_;

 private:
  void Serve() {
    Wake();
    bool is_known = false;
    while (!stop_ || completed_ < woken_) {
      const int result = io_uring_submit_and_wait(&ring_, 1);
      ASSERT_TRUE(result >= 0 || result == -EINTR) << std::strerror(-result);
      io_uring_cqe* entry = nullptr;
      while (io_uring_peek_cqe(&ring_, &entry) == 0) {
        io_uring_cqe_seen(&ring_, entry);
        ++completed_;
      }
      if (!std::exchange(is_known, true)) ring_thread_.set_value(RingThread::Current());
    }
  }
};

TEST_F(RingThreadTest, WhatOthersHandItIsDoneThereWhileItSleeps) {
  EXPECT_EQ(RingThread::Current(), nullptr) << "this thread serves none";
  for (int i = 0; i < 200; ++i) {
    pid_t there = 0;
    ASSERT_TRUE(served_->Run([&] { there = gettid(); }));
    EXPECT_NE(there, gettid());
  }
}

TEST_F(RingThreadTest, WhatATaskPutsIntoTheRingIsSubmitted) {
  constexpr int kTasks = 500;
  {
    std::vector<std::jthread> others;
    others.reserve(4);
    for (int i = 0; i < 4; ++i) {
      others.emplace_back([this] {
        for (int task = 0; task < kTasks; ++task) EXPECT_TRUE(served_->Run([this] { Wake(); }));
      });
    }
  }
  Stop();
  EXPECT_EQ(completed_, 4 * kTasks + 2);  // the first one, and that of Stop
}

TEST_F(RingThreadTest, OnceItHasEndedNothingIsDone) {
  Stop();
  bool done = false;
  EXPECT_FALSE(served_->Run([&] { done = true; }));
  EXPECT_FALSE(done);
}

}  // namespace
}  // namespace ckptfs
