#include "fs/open/writer_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace ckptfs {
namespace {

// Says who writes, and notes what ends.
class WriterWatchTest : public testing::Test {
 protected:
  DetachedState State(Slot slot) {
    return {.volume = VolumeId::Generate(),
            .slot = slot,
            .workspace_id = 1,
            .view = 2,
            .former_view = 1};
  }
  void SetWriters(Slot slot, bool some) {
    const std::lock_guard lock(mutex_);
    writers_[slot] = some;
  }
  bool EndsWithin(Slot slot, std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [&] { return ended_[slot] > 0; });
  }
  int Ended(Slot slot) {
    const std::lock_guard lock(mutex_);
    return ended_[slot];
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Slot, bool> writers_;
  std::map<Slot, int> ended_;
  std::chrono::milliseconds ending_takes_{0};
  WriterWatch states_{[this](Slot slot) {
                        const std::lock_guard lock(mutex_);
                        return writers_[slot];
                      },
                      [this](const DetachedState& state) {
                        std::this_thread::sleep_for(ending_takes_);
                        const std::lock_guard lock(mutex_);
                        ++ended_[state.slot];
                        changed_.notify_all();
                      }};
};

TEST_F(WriterWatchTest, EndsWithTheLastHandle) {
  SetWriters(7, true);
  const DetachedState state = State(7);
  states_.Add(state);
  states_.Released(7);  // of one file; there are others
  EXPECT_FALSE(EndsWithin(7, std::chrono::milliseconds(100)));
  EXPECT_TRUE(states_.Find(state.volume));
  SetWriters(7, false);
  states_.Released(7);
  EXPECT_TRUE(EndsWithin(7, std::chrono::milliseconds(900)));
  EXPECT_FALSE(states_.Find(state.volume));
}

TEST_F(WriterWatchTest, FindsTheEndOfAMappingThatNobodyTells) {
  SetWriters(7, true);
  states_.Add(State(7));
  SetWriters(7, false);
  EXPECT_TRUE(EndsWithin(7, std::chrono::milliseconds(5000)));
}

TEST_F(WriterWatchTest, StatesEndEachForItself) {
  SetWriters(7, true);
  SetWriters(8, true);
  const DetachedState older = State(7);
  const DetachedState younger = State(8);
  states_.Add(older);
  states_.Add(younger);
  SetWriters(8, false);
  states_.EndQuietOnes();
  EXPECT_EQ(Ended(8), 1);
  EXPECT_EQ(Ended(7), 0);
  EXPECT_TRUE(states_.Find(older.volume));
  EXPECT_EQ(states_.Find(older.volume)->slot, 7U);
  EXPECT_FALSE(states_.Find(younger.volume).has_value());
}

TEST_F(WriterWatchTest, WhatIsDroppedDoesNotEnd) {
  const DetachedState state = State(7);
  SetWriters(7, true);
  states_.Add(state);
  EXPECT_EQ(states_.Drop(state.volume), 7U);
  EXPECT_EQ(states_.Drop(state.volume), std::nullopt);
  SetWriters(7, false);
  states_.EndQuietOnes();
  EXPECT_EQ(Ended(7), 0);
}

TEST_F(WriterWatchTest, WhoAsksWhileAStateIsEndedHearsOfItAfterwards) {
  ending_takes_ = std::chrono::milliseconds(100);
  for (Slot slot = 10; slot < 15; ++slot) {
    const DetachedState state = State(slot);
    SetWriters(slot, false);
    states_.Add(state);
    std::jthread ends([this] { states_.EndQuietOnes(); });
    while (states_.Find(state.volume)) std::this_thread::yield();
    EXPECT_EQ(Ended(slot), 1);
    EXPECT_EQ(states_.Drop(state.volume), std::nullopt);
  }
}

}  // namespace
}  // namespace ckptfs
