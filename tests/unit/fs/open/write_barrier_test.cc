#include "fs/open/write_barrier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <deque>
#include <map>
#include <set>
#include <thread>

#include "backend/base/serial_executor.h"

namespace ckptfs {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::SizeIs;

bool NothingAtGate(NodeId /*node*/) { return false; }

// Makes no calls, but says that they have come through at once, by another thread; those of `stuck` when
// it is told to.
class TestCalls : public BarrierCalls {
 public:
  void Serve(WriteBarrier& stop) { stop_ = &stop; }

  Taken Start(const std::vector<NodeHandle>& files) override {
    const std::lock_guard lock(mutex_);
    if (taken != Taken::kAll) return taken;
    for (const NodeHandle& file : files) {
      ++started_[file.node];
      if (failing.contains(file.node)) {
        Push({.node = file.node, .error = EAGAIN});
      } else if (!stuck.contains(file.node)) {
        thread_.Post([this, node = file.node] { ComeThrough(node); });
      }
    }
    return taken;
  }
  std::optional<Report> Receive() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return hung_up_ || !reports_.empty(); });
    if (reports_.empty()) return std::nullopt;
    const Report report = reports_.front();
    reports_.pop_front();
    return report;
  }
  void HangUp() override {
    const std::lock_guard lock(mutex_);
    hung_up_ = true;
    changed_.notify_all();
  }

  void ComeThrough(NodeId node) {
    EXPECT_TRUE(stop_->Park(node, kXattrName, [this, node] {
      const std::lock_guard lock(mutex_);
      answered_.insert(node);
      Push({.node = node, .error = 0});
    }));
  }

  int Started(NodeId node) {
    const std::lock_guard lock(mutex_);
    return started_[node];
  }
  size_t Started() {
    const std::lock_guard lock(mutex_);
    size_t all = 0;
    for (const auto& [node, times] : started_) all += static_cast<size_t>(times);
    return all;
  }
  std::set<NodeId> answered() {
    const std::lock_guard lock(mutex_);
    return answered_;
  }

  // Set before a stop.
  std::set<NodeId> stuck;
  std::set<NodeId> failing;
  Taken taken = Taken::kAll;

 private:
  void Push(const Report& report) {
    reports_.push_back(report);
    changed_.notify_all();
  }

  WriteBarrier* stop_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<NodeId, int> started_;
  std::set<NodeId> answered_;
  std::deque<Report> reports_;
  bool hung_up_ = false;
  SerialExecutor thread_;  // last: uses what is above
};

class WriteStopTest : public testing::Test {
 protected:
  WriteStopTest() { calls_.Serve(stop_); }

  static std::vector<NodeHandle> Files(NodeId first, size_t count) {
    std::vector<NodeHandle> files;
    for (size_t i = 0; i < count; ++i) files.push_back({.node = first + i});
    return files;
  }
  void Stick(NodeId first, size_t count) {
    for (size_t i = 0; i < count; ++i) calls_.stuck.insert(first + i);
  }
  std::unique_ptr<WriteBarrier::Stopped> Stop(int64_t workspace, std::vector<NodeHandle> files,
                                              const WriteBarrier::GateLook& look = NothingAtGate) {
    return stop_.Stop(workspace, std::move(files), look);
  }

  // One that has no gap: at the first try, or, as a busy machine may keep a thread for long, a later one.
  std::unique_ptr<WriteBarrier::Stopped> StopAll(int64_t workspace,
                                                 const std::vector<NodeHandle>& files) {
    constexpr int kTries = 100;
    std::unique_ptr<WriteBarrier::Stopped> stopped;
    for (int i = 0; i < kTries && (!stopped || !stopped->gap().empty()); ++i) {
      stopped.reset();
      stopped = Stop(workspace, files);
    }
    EXPECT_EQ(stopped->gap(), "");
    return stopped;
  }

  TestCalls calls_;
  WriteBarrier stop_{calls_};
};

TEST_F(WriteStopTest, WritesWaitAsLongAsItExists) {
  auto stopped = StopAll(1, Files(10, 3));
  EXPECT_TRUE(stopped->Holds(11));
  EXPECT_FALSE(stopped->Holds(13));
  stopped.reset();
  EXPECT_THAT(calls_.answered(), SizeIs(3));
}

TEST_F(WriteStopTest, NothingIsStoppedForNoFiles) {
  EXPECT_EQ(Stop(1, {}), nullptr);
  EXPECT_FALSE(stop_.Park(1, "user.x", [] { FAIL(); }));
}

TEST_F(WriteStopTest, MoreFilesThanAShareAreAllStopped) {
  StopAll(1, Files(10, WriteBarrier::kFilesMax));
  EXPECT_GE(calls_.Started(), WriteBarrier::kFilesMax);
}

TEST_F(WriteStopTest, TheRestOfTooManyGoesOn) {
  const auto stopped = Stop(1, Files(10, 300));
  EXPECT_THAT(stopped->gap(), HasSubstr("300 files"));
  EXPECT_FALSE(stopped->is_gap_passing());
  EXPECT_LE(calls_.Started(), WriteBarrier::kFilesMax);
}

TEST_F(WriteStopTest, AWriteThatDoesNotEndIsAGapAndItsCallIsNotMadeAgain) {
  calls_.stuck = {11};
  auto first = Stop(1, Files(10, 3));
  EXPECT_THAT(first->gap(), HasSubstr("1 of 3 files"));
  EXPECT_TRUE(first->is_gap_passing());
  first.reset();
  std::this_thread::sleep_for(milliseconds(250));
  for (int i = 0; i < 5; ++i) {
    const auto stopped = Stop(1, Files(10, 3));
    EXPECT_THAT(stopped->gap(), HasSubstr("1 of 3 files"));
    EXPECT_FALSE(stopped->is_gap_passing()) << "it is known to last";
  }
  EXPECT_EQ(calls_.Started(11), 1);
}

TEST_F(WriteStopTest, ALaterStopWaitsForTheCallThatThereIs) {
  calls_.stuck = {11};
  Stop(1, Files(10, 3)).reset();
  std::jthread write_ends([this] {
    std::this_thread::sleep_for(milliseconds(5));
    calls_.ComeThrough(11);
  });
  auto stopped = Stop(1, Files(10, 3));
  EXPECT_EQ(stopped->gap(), "");
  EXPECT_FALSE(calls_.answered().contains(11));
  stopped.reset();
  EXPECT_TRUE(calls_.answered().contains(11));
  EXPECT_EQ(calls_.Started(11), 1);
  calls_.stuck.clear();
  StopAll(1, Files(10, 3));
  EXPECT_GE(calls_.Started(11), 2) << "it was reported since";
}

TEST_F(WriteStopTest, WhatComesThroughTooLateIsAnsweredAtOnce) {
  calls_.stuck = {11};
  const auto stopped = Stop(1, Files(10, 3));
  calls_.ComeThrough(11);
  EXPECT_TRUE(calls_.answered().contains(11));
}

TEST_F(WriteStopTest, WritesThatDoNotEndLeaveOthersTheirCalls) {
  Stick(1000, 256);
  for (int i = 0; i < 3; ++i) EXPECT_NE(Stop(1, Files(1000, 256))->gap(), "");
  EXPECT_LE(calls_.Started(), BarrierShares::kOfOneMax);
  for (int i = 0; i < 3; ++i) StopAll(2, Files(5000, 256));
}

TEST_F(WriteStopTest, StopsOfSeveralWorkspacesLastBesideEachOther) {
  Stick(1000, 1);
  const auto first = Stop(1, Files(1000, 2));
  EXPECT_NE(first->gap(), "");
  const auto second = StopAll(2, Files(5000, 100));
  const auto third = StopAll(3, Files(6000, 100));
  EXPECT_TRUE(second->Holds(5099));
  EXPECT_TRUE(third->Holds(6099));
  EXPECT_FALSE(first->Holds(1000));
}

TEST_F(WriteStopTest, LargeStopsShareTheRoomAndSmallOnesNeedNone) {
  auto first = StopAll(1, Files(1000, 256));
  const auto second = StopAll(2, Files(2000, 256));
  EXPECT_THAT(Stop(3, Files(3000, 256))->gap(), HasSubstr("256 files"));
  StopAll(4, Files(4000, WriteBarrier::kSmall));
  first.reset();
  StopAll(3, Files(3000, 256));
}

TEST_F(WriteStopTest, WhatWaitsAtTheGateNeedsNoCall) {
  const auto stopped = Stop(1, Files(10, 3), [](NodeId node) { return node == 11; });
  EXPECT_EQ(stopped->gap(), "");
  EXPECT_EQ(calls_.Started(11), 0);
}

// Its end waits for the call, which stands behind the change and goes through when the freeze lock has opened.
TEST_F(WriteStopTest, WhatHasComeToTheGateMeanwhileIsNoGap) {
  calls_.stuck = {11};
  auto stopped =
      Stop(1, Files(10, 3), [&](NodeId node) { return node == 11 && calls_.Started(11) > 0; });
  EXPECT_EQ(stopped->gap(), "");
  std::jthread gate_opens([this] {
    std::this_thread::sleep_for(milliseconds(20));
    calls_.ComeThrough(11);
  });
  stopped.reset();
  EXPECT_TRUE(calls_.answered().contains(11));
}

TEST_F(WriteStopTest, ACallThatFailsIsAGap) {
  calls_.failing = {12};
  EXPECT_THAT(Stop(1, Files(10, 3))->gap(), HasSubstr("failed"));
  calls_.failing.clear();
  StopAll(1, Files(10, 3));
}

TEST_F(WriteStopTest, AHelperThatIsBusyIsAskedAgain) {
  calls_.taken = BarrierCalls::Taken::kBusy;
  const auto stopped = Stop(1, Files(10, 3));
  EXPECT_THAT(stopped->gap(), HasSubstr("3 of 3 files"));
  EXPECT_TRUE(stopped->is_gap_passing());
}

TEST_F(WriteStopTest, WithoutAHelperNothingIsStopped) {
  calls_.stuck = {11};
  std::jthread helper_dies([this] {
    std::this_thread::sleep_for(milliseconds(5));
    calls_.HangUp();
  });
  EXPECT_THAT(Stop(1, Files(10, 3))->gap(), HasSubstr("gone"));
  calls_.taken = BarrierCalls::Taken::kGone;
  EXPECT_THAT(Stop(1, Files(10, 3))->gap(), HasSubstr("gone"));
}

}  // namespace
}  // namespace ckptfs
