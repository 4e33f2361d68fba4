// On real devices; tests/vm/device_mapper.sh runs these where the machine's own kernel has none.
#include "backend/dm/thin_pool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include "backend/base/units.h"
#include "backend/dm/thin_device.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

using testing::HasSubstr;

class DmThinPoolTest : public testing::Test {
 protected:
  void SetUp() override {
    CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
    if (const std::string obstacle = DmObstacle(); !obstacle.empty()) GTEST_SKIP() << obstacle;
  }

  void TearDown() override {
    pool_.reset();
    if (!DmObstacle().empty()) return;
    EXPECT_THAT(ListDmDevices(prefix_), testing::IsEmpty());
  }

  ThinPool& Open(ThinPool::Options options = {}) {
    pool_.reset();
    options.name = prefix_ + "pool";
    if (!options.is_volume)
      options.is_volume = [this](const auto& pending) { return IsKept(pending); };
    pool_.emplace(directory_.fd(), options);
    return *pool_;
  }
  bool IsKept(const PendingThinDevice& pending) const { return pending.device == kept_; }

  // Makes a device, as a backend would.
  uint32_t Make(std::optional<uint32_t> source = std::nullopt) {
    ThinPool::NewDevice device(*pool_, VolumeId::Generate());
    if (source) {
      device.MakeSnapshotOf(*source);
    } else {
      device.MakeEmpty();
    }
    device.Commit();
    device.Keep();
    kept_ = device.id();
    return device.id();
  }

  // Writes one byte to all of a range.
  void Fill(uint32_t id, uint64_t offset, uint64_t bytes, char content) {
    ThinDevice device(*pool_, id, prefix_ + "device");
    const UniqueFd fd(open(device.device().path().c_str(), O_WRONLY | O_CLOEXEC));
    const std::string text(bytes, content);
    ASSERT_EQ(pwrite(fd.get(), text.data(), text.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(text.size()));
    ASSERT_EQ(fsync(fd.get()), 0);
  }
  char ByteAt(uint32_t id, uint64_t offset) {
    ThinDevice device(*pool_, id, prefix_ + "device");
    const UniqueFd fd(open(device.device().path().c_str(), O_RDONLY | O_CLOEXEC));
    char byte = '?';
    EXPECT_EQ(pread(fd.get(), &byte, 1, static_cast<off_t>(offset)), 1);
    return byte;
  }
  bool Exists(uint32_t id) {
    return ErrorOf([&] { ThinDevice(*pool_, id, prefix_ + "device"); }).errno_value() == 0;
  }
  ThinState State() {
    const UniqueFd fd(openat(directory_.fd(), "state", O_RDONLY | O_CLOEXEC));
    return ReadThinState(fd.get());
  }

  TestDirectory directory_;
  const std::string prefix_ = fmt::format("CKPTFS-test-{}-", getpid());
  uint32_t kept_ = 0;
  std::optional<ThinPool> pool_;
};

TEST_F(DmThinPoolTest, ASnapshotKeepsWhatItsSourceHad) {
  MakeThinPool(directory_.fd(), {.data_bytes = 64 * kMiB});
  Open();
  const uint32_t source = Make();
  Fill(source, kMiB, kMiB, 'a');
  const uint32_t snapshot = Make(source);
  Fill(source, kMiB, 64 << 10, 'b');
  EXPECT_EQ(ByteAt(source, kMiB), 'b');
  EXPECT_EQ(ByteAt(snapshot, kMiB), 'a');
  EXPECT_EQ(pool_->UsageOf(snapshot).mapped_bytes, kMiB);
  EXPECT_EQ(pool_->UsageOf(snapshot).exclusive_bytes, kThinBlockBytes);
  const auto ranges = pool_->MappedRanges(snapshot);
  uint64_t mapped = 0;
  for (const auto& range : ranges) mapped += range.length;
  ASSERT_FALSE(ranges.empty());
  EXPECT_EQ(ranges.front().begin, kMiB);
  EXPECT_EQ(mapped, kMiB);
  // Over a new activation too.
  Open();
  EXPECT_EQ(ByteAt(snapshot, kMiB), 'a');
  EXPECT_EQ(pool_->Status().transaction, 2U);
  pool_->Delete(snapshot);
  pool_->Delete(snapshot);
  EXPECT_FALSE(Exists(snapshot));
  // Ids are not used again.
  EXPECT_GT(Make(source), snapshot);
}

TEST_F(DmThinPoolTest, WhatWasNotKeptIsRemoved) {
  MakeThinPool(directory_.fd(), {.data_bytes = 64 * kMiB});
  Open();
  const uint32_t source = Make();
  {
    ThinPool::NewDevice device(*pool_, VolumeId::Generate());
    device.MakeSnapshotOf(source);
  }
  EXPECT_FALSE(Exists(source + 1));
  // The change that was not brought to its end is not in the way of the next.
  EXPECT_EQ(Make(source), source + 2);
  EXPECT_EQ(pool_->Status().transaction, State().transaction);
  Open();
  EXPECT_TRUE(Exists(source));
  EXPECT_TRUE(Exists(source + 2));
}

TEST_F(DmThinPoolTest, WhatAnotherProcessLeftIsRemoved) {
  MakeThinPool(directory_.fd(), {.data_bytes = 64 * kMiB});
  Open();
  const uint32_t source = Make();
  pool_.reset();
  for (const bool committed : {false, true}) {
    ASSERT_TRUE(RunAndKill([&] {
      Open();
      auto* device = new ThinPool::NewDevice(*pool_, VolumeId::Generate());
      device->MakeSnapshotOf(source);
      if (committed) device->Commit();
    }));
    RemoveDmDevices(prefix_);
    const uint32_t left = State().pending.value().device;
    Open();
    EXPECT_FALSE(Exists(left));
    EXPECT_EQ(pool_->Status().transaction, State().transaction);
    EXPECT_FALSE(State().pending);
    pool_.reset();
  }
  // One whose volume is there stays.
  Open();
  kept_ = Make(source);
  Open();
  EXPECT_TRUE(Exists(kept_));
}

TEST_F(DmThinPoolTest, AnotherMomentIsRefused) {
  MakeThinPool(directory_.fd(), {.data_bytes = 64 * kMiB});
  Open();
  Make();
  pool_.reset();
  const UniqueFd fd(openat(directory_.fd(), "state", O_RDWR | O_CLOEXEC));
  ThinState state = State();
  for (const uint64_t other : {state.transaction - 1, state.transaction + 2}) {
    ThinState changed = state;
    changed.transaction = other;
    WriteThinState(fd.get(), changed);
    const Error error = ErrorOf([&] { Open(); });
    EXPECT_EQ(error.errno_value(), EUCLEAN);
    EXPECT_THAT(error.what(), HasSubstr("does not match the recorded state"));
    EXPECT_THAT(ListDmDevices(prefix_), testing::IsEmpty());
  }
  WriteThinState(fd.get(), state);
  Open();
}

TEST_F(DmThinPoolTest, OtherDataIsRefused) {
  MakeThinPool(directory_.fd(), {.data_bytes = 64 * kMiB});
  Open();
  const uint32_t device = Make();
  Fill(device, 0, kMiB, 'a');
  pool_.reset();
  const std::string data = directory_.Path("data.img");
  const std::string aside = directory_.Path("aside");
  ASSERT_EQ(rename(data.c_str(), aside.c_str()), 0);
  WriteFileAt(directory_.fd(), "data.img", "");
  ASSERT_EQ(truncate(data.c_str(), 64 * kMiB), 0);
  for (const bool read_only : {true, false}) {
    const Error error = ErrorOf([&] { Open({.read_only = read_only}); });
    EXPECT_EQ(error.errno_value(), EUCLEAN);
    EXPECT_THAT(error.what(), HasSubstr("does not hold its data"));
    EXPECT_THAT(ListDmDevices(prefix_), testing::IsEmpty());
  }
  ASSERT_EQ(rename(aside.c_str(), data.c_str()), 0);
  Open();
  EXPECT_EQ(ByteAt(device, 5), 'a');
}

TEST_F(DmThinPoolTest, DataWithoutAKnownMarkGetsOne) {
  MakeThinPool(directory_.fd(), {.data_bytes = 64 * kMiB});
  Open();
  const uint32_t device = Make();
  Fill(device, 0, kMiB, 'a');
  pool_.reset();
  ThinState state = State();
  const std::optional<Uuid> first = std::exchange(state.data_mark, std::nullopt);
  ASSERT_TRUE(first);
  {
    // As if power had gone before the state knew of it.
    const UniqueFd fd(openat(directory_.fd(), "state", O_RDWR | O_CLOEXEC));
    WriteThinState(fd.get(), state);
  }
  Open({.read_only = true});
  EXPECT_FALSE(State().data_mark);
  Open();
  EXPECT_TRUE(State().data_mark);
  EXPECT_NE(State().data_mark, first);
  Open();
  EXPECT_EQ(ByteAt(device, 5), 'a');
}

TEST_F(DmThinPoolTest, IdsEnd) {
  MakeThinPool(directory_.fd(), {.data_bytes = 64 * kMiB});
  {
    const UniqueFd fd(openat(directory_.fd(), "state", O_RDWR | O_CLOEXEC));
    WriteThinState(fd.get(), {.next_device = kThinDeviceMax});
  }
  Open();
  EXPECT_EQ(Make(), kThinDeviceMax);
  EXPECT_EQ(ErrorOf([&] { Make(); }).errno_value(), ENOSPC);
}

TEST_F(DmThinPoolTest, MetadataGrows) {
  MakeThinPool(directory_.fd(), {.data_bytes = 64 * kMiB});
  // So little that a few snapshots fill it.
  ASSERT_EQ(truncate(directory_.Path("metadata.img").c_str(), 256 << 10), 0);
  Open();
  const uint64_t before = pool_->Status().total_metadata;
  const uint32_t source = Make();
  for (int i = 0; i < 400 && pool_->Status().used_metadata * 4 < before * 3; ++i) {
    Make(source);
    Fill(source, 0, kThinBlockBytes, 'a');
  }
  ASSERT_GE(pool_->Status().used_metadata * 4, before * 3);
  pool_->KeepMetadataRoomy();
  EXPECT_EQ(pool_->Status().total_metadata, 2 * before);
  EXPECT_EQ(pool_->Status().mode, ThinPoolStatus::Mode::kWritable);
  Make(source);
  Open();
  EXPECT_EQ(pool_->Status().total_metadata, 2 * before);
}

TEST_F(DmThinPoolTest, UsageCanBeLookedAtWhateverWasBefore) {
  MakeThinPool(directory_.fd(), {.data_bytes = 64 * kMiB});
  Open();
  const uint32_t device = Make();
  Fill(device, 0, kMiB, 'a');
  // As a process leaves it that dies while a tool looks.
  const std::string message = "dmsetup message " + prefix_ + "pool 0 reserve_metadata_snap";
  ASSERT_EQ(std::system(message.c_str()), 0);
  Open();
  EXPECT_EQ(pool_->UsageOf(device).mapped_bytes, kMiB);
  EXPECT_FALSE(pool_->Status().holds_snapshot);
  // One that was made a moment ago is known.
  EXPECT_EQ(pool_->UsageOf(Make(device)).exclusive_bytes, 0U);
  EXPECT_EQ(ErrorOf([&] { pool_->UsageOf(kThinDeviceMax); }).errno_value(), EIO);
  Open({.read_only = true});
  EXPECT_EQ(pool_->UsageOf(device).mapped_bytes, kMiB);
}

TEST_F(DmThinPoolTest, FilesGrowAndDoNotShrink) {
  MakeThinPool(directory_.fd(), {.data_bytes = 64 * kMiB});
  EXPECT_EQ(Open().Room().total, 64 * kMiB);
  pool_.reset();
  GrowThinPoolFiles(directory_.fd(), 128 * kMiB);
  GrowThinPoolFiles(directory_.fd(), 128 * kMiB);
  EXPECT_EQ(ErrorOf([&] { GrowThinPoolFiles(directory_.fd(), 64 * kMiB); }).errno_value(), EINVAL);
  EXPECT_EQ(Open().Room().total, 128 * kMiB);
}

TEST_F(DmThinPoolTest, OnDevices) {
  WriteFileAt(directory_.fd(), "d", "");
  WriteFileAt(directory_.fd(), "m", "");
  WriteFileAt(directory_.fd(), "t", "");
  WriteFileAt(directory_.fd(), "b", "");
  const auto attach = [&](const std::string& name, uint64_t bytes) {
    EXPECT_EQ(truncate(directory_.Path(name).c_str(), static_cast<off_t>(bytes)), 0);
    const UniqueFd fd(openat(directory_.fd(), name.c_str(), O_RDWR | O_CLOEXEC));
    return LoopDevice(fd.get(), {.name = "ckptfs-test-" + name});
  };
  const LoopDevice data = attach("d", 64 * kMiB);
  const LoopDevice metadata = attach("m", 4 * kMiB);
  const ThinPoolPlace place{.data_device = data.path(), .metadata_device = metadata.path()};
  MakeThinPool(directory_.fd(), place);
  const auto open = [&] {
    Open({.data_device = place.data_device, .metadata_device = place.metadata_device});
  };
  open();
  EXPECT_EQ(pool_->Room().total, 64 * kMiB);
  const uint32_t device = Make();
  Fill(device, 0, kMiB, 'a');
  // What is in use, and what has something on it, is refused.
  EXPECT_EQ(ErrorOf([&] { TakeBlankDevice(data.path(), true); }).errno_value(), EBUSY);
  open();
  EXPECT_EQ(ByteAt(device, 5), 'a');
  pool_.reset();
  EXPECT_EQ(ErrorOf([&] { TakeBlankDevice(metadata.path(), true); }).errno_value(), EEXIST);
  EXPECT_EQ(ErrorOf([&] { TakeBlankDevice(data.path(), false); }).errno_value(), EEXIST);
  EXPECT_EQ(ErrorOf([&] { TakeBlankDevice(directory_.Path("d"), true); }).errno_value(), ENOTBLK);
  const Error small = ErrorOf([&] {
    const LoopDevice blank = attach("b", 64 * kMiB);
    const LoopDevice tiny = attach("t", kMiB);
    MakeThinPool(directory_.fd(), {.data_device = blank.path(), .metadata_device = tiny.path()});
  });
  EXPECT_EQ(small.errno_value(), ENOSPC);
}

}  // namespace
}  // namespace ckptfs
