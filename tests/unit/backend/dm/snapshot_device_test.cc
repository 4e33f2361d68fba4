// On real devices; tests/vm/device_mapper.sh runs these where the machine's own kernel has none.
#include "backend/dm/snapshot_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "backend/base/error.h"
#include "backend/base/sparse_copy.h"
#include "backend/base/units.h"
#include "backend/dm/cow_file.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

constexpr uint64_t kBaseBytes = 16 * kMiB;
constexpr size_t kBlockBytes = 4096;

TEST(SnapshotStatusTest, IsUnderstood) {
  const auto usage = ParseSnapshotStatus("24/131088 16");
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->state, SnapshotUsage::State::kGood);
  EXPECT_EQ(usage->used_bytes, 24 * kDmSectorBytes);
  EXPECT_EQ(usage->total_bytes, 131088 * kDmSectorBytes);
  EXPECT_EQ(ParseSnapshotStatus("Overflow")->state, SnapshotUsage::State::kOverflow);
  EXPECT_EQ(ParseSnapshotStatus("Invalid")->state, SnapshotUsage::State::kInvalid);
  EXPECT_FALSE(ParseSnapshotStatus(""));
  EXPECT_FALSE(ParseSnapshotStatus("24 of 131088"));
}

class DmTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "not root";
    if (const std::string obstacle = DmObstacle(); !obstacle.empty()) GTEST_SKIP() << obstacle;
    const UniqueFd file = MakeCowFile(directory_.fd(), "base", kBaseBytes);
    WriteBlock(file.get(), 0, 'b');
    ASSERT_EQ(fsync(file.get()), 0);
    base_ = std::make_shared<const LoopDevice>(
        file.get(), LoopOptions{.read_only = true, .name = prefix_ + "base"});
  }

  void TearDown() override {
    if (!base_) return;
    EXPECT_THAT(ListDmDevices(prefix_), testing::IsEmpty());
    base_.reset();
  }

  UniqueFd NewCow(const std::string& name, uint64_t bytes = CowFileBytes(kBaseBytes)) {
    return MakeCowFile(directory_.fd(), name, bytes);
  }

  std::unique_ptr<SnapshotDevice> Attach(const UniqueFd& cow, const std::string& name,
                                         bool read_only = false) {
    return std::make_unique<SnapshotDevice>(base_, cow.get(), 0, prefix_ + name, prefix_ + name,
                                            read_only);
  }

  static UniqueFd OpenDevice(SnapshotDevice& device, int flags = O_RDWR) {
    return UniqueFd(
        CheckSyscall(open(device.device().path().c_str(), flags | O_CLOEXEC), "open a device"));
  }

  static void WriteBlock(int fd, uint64_t number, char content) {
    const std::string block(kBlockBytes, content);
    CheckSyscall(pwrite(fd, block.data(), block.size(), static_cast<off_t>(number * kBlockBytes)),
                 "write a block");
  }

  static char ReadBlock(int fd, uint64_t number) {
    std::string block(kBlockBytes, '\0');
    CheckSyscall(pread(fd, block.data(), block.size(), static_cast<off_t>(number * kBlockBytes)),
                 "read a block");
    EXPECT_EQ(block, std::string(kBlockBytes, block[0]));
    return block[0];
  }

  static bool ComesTrue(const std::function<bool()>& condition) {
    for (int i = 0; i < 200; ++i) {
      if (condition()) return true;
      usleep(20'000);
    }
    return false;
  }

  const std::string prefix_ = fmt::format("ckptfs-test-{}-", getpid());
  TestDirectory directory_;
  std::shared_ptr<const LoopDevice> base_;
};

TEST_F(DmTest, TwoDevicesShareABaseAndSeeNothingOfEachOther) {
  const UniqueFd cow_a = NewCow("a");
  const UniqueFd cow_b = NewCow("b");
  const auto a = Attach(cow_a, "a");
  const auto b = Attach(cow_b, "b");
  const UniqueFd fd_a = OpenDevice(*a);
  const UniqueFd fd_b = OpenDevice(*b);
  EXPECT_EQ(ReadBlock(fd_a.get(), 0), 'b');
  WriteBlock(fd_a.get(), 0, 'A');
  WriteBlock(fd_b.get(), 1, 'B');
  ASSERT_EQ(fsync(fd_a.get()) + fsync(fd_b.get()), 0);
  EXPECT_EQ(ReadBlock(fd_a.get(), 0), 'A');
  EXPECT_EQ(ReadBlock(fd_a.get(), 1), '\0');
  EXPECT_EQ(ReadBlock(fd_b.get(), 0), 'b');
  EXPECT_EQ(ReadBlock(fd_b.get(), 1), 'B');
  EXPECT_EQ(ReadBlock(base_->fd(), 0), 'b');
  EXPECT_THAT(ListDmDevices(prefix_), testing::UnorderedElementsAre(prefix_ + "a", prefix_ + "b"));
}

TEST_F(DmTest, WhatWasWrittenIsThereTheNextTime) {
  const UniqueFd cow = NewCow("a");
  for (const char content : {'1', '2'}) {
    const auto device = Attach(cow, "a");
    const UniqueFd fd = OpenDevice(*device);
    EXPECT_EQ(ReadBlock(fd.get(), 3), content == '1' ? '\0' : '1');
    WriteBlock(fd.get(), 3, content);
    ASSERT_EQ(fsync(fd.get()), 0);
  }
}

TEST_F(DmTest, ACopyMadeWhileSuspendedIsThatMoment) {
  const UniqueFd cow = NewCow("a");
  const auto device = Attach(cow, "a");
  const UniqueFd fd = OpenDevice(*device, O_RDWR | O_SYNC);
  WriteBlock(fd.get(), 5, 'x');
  const UniqueFd copy = NewCow("copy", 0);
  std::atomic<bool> written = false;
  std::thread writer;
  {
    const DmDevice::Suspended suspended(device->device());
    writer = std::thread([&] {
      WriteBlock(fd.get(), 5, 'y');
      written = true;
    });
    usleep(200'000);
    EXPECT_FALSE(written);
    CopySparse(cow.get(), copy.get());
  }
  writer.join();
  EXPECT_EQ(ReadBlock(fd.get(), 5), 'y');
  const auto snapshot = Attach(copy, "snapshot", /*read_only=*/true);
  EXPECT_EQ(ReadBlock(OpenDevice(*snapshot, O_RDONLY).get(), 5), 'x');
  const UniqueFd for_writing = OpenDevice(*snapshot);
  EXPECT_EQ(pwrite(for_writing.get(), "z", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
}

TEST_F(DmTest, AFullCowFileFailsWritesAndKeepsWhatIsThere) {
  const UniqueFd cow = NewCow("small", 64 * kBlockBytes);
  const auto device = Attach(cow, "small");
  const UniqueFd fd = OpenDevice(*device, O_RDWR | O_SYNC);
  const uint64_t total = device->Usage().total_bytes;
  EXPECT_EQ(total, 64 * kBlockBytes);
  uint64_t blocks = 0;
  const std::string block(kBlockBytes, 'f');
  while (blocks < kBaseBytes / kBlockBytes &&
         pwrite(fd.get(), block.data(), block.size(), off_t(blocks * kBlockBytes)) > 0) {
    EXPECT_EQ(device->Usage().state, SnapshotUsage::State::kGood);
    ++blocks;
  }
  EXPECT_GT(blocks, 40U);
  EXPECT_LT(blocks, 64U);
  EXPECT_EQ(device->Usage().state, SnapshotUsage::State::kOverflow);
}

TEST_F(DmTest, GrownAfterAnOverflowItIsWholeAgain) {
  const UniqueFd cow = NewCow("small", 64 * kBlockBytes);
  uint64_t blocks = 0;
  {
    const auto device = Attach(cow, "small");
    const UniqueFd fd = OpenDevice(*device, O_RDWR | O_SYNC);
    const std::string block(kBlockBytes, 'f');
    while (pwrite(fd.get(), block.data(), block.size(), off_t(blocks * kBlockBytes)) > 0) ++blocks;
  }
  ASSERT_EQ(ftruncate(cow.get(), static_cast<off_t>(CowFileBytes(kBaseBytes))), 0);
  const auto device = Attach(cow, "small");
  EXPECT_EQ(device->Usage().state, SnapshotUsage::State::kGood);
  const UniqueFd fd = OpenDevice(*device, O_RDWR | O_SYNC);
  for (uint64_t i = 0; i < blocks; ++i) ASSERT_EQ(ReadBlock(fd.get(), i), 'f') << i;
  WriteBlock(fd.get(), blocks, 'g');
  EXPECT_EQ(ReadBlock(fd.get(), blocks), 'g');
}

TEST_F(DmTest, ACowFileHasOneWriter) {
  const UniqueFd cow = NewCow("a");
  const auto device = Attach(cow, "a");
  const Error error = ErrorOf([&] { Attach(cow, "b"); });
  EXPECT_EQ(error.errno_value(), EBUSY);
  EXPECT_THAT(error.what(), testing::HasSubstr("/dev/loop"));
}

TEST_F(DmTest, ATakenNameIsAnErrorThatNamesIt) {
  const UniqueFd cow = NewCow("a");
  const UniqueFd other = NewCow("other");
  const auto device = Attach(cow, "a");
  const Error error = ErrorOf([&] { Attach(other, "a"); });
  EXPECT_EQ(error.errno_value(), EBUSY);
  EXPECT_THAT(error.what(), testing::HasSubstr(prefix_ + "a"));
  EXPECT_FALSE(WaitUntilDetached(other.get()));
}

TEST_F(DmTest, GoesWithItsLastUser) {
  const UniqueFd cow = NewCow("a");
  auto device = Attach(cow, "a");
  UniqueFd user = OpenDevice(*device);
  device.reset();
  EXPECT_THAT(ListDmDevices(prefix_), testing::SizeIs(1));
  WriteBlock(user.get(), 1, 'u');
  EXPECT_EQ(fsync(user.get()), 0);
  user.Reset();
  EXPECT_TRUE(ComesTrue([&] { return ListDmDevices(prefix_).empty(); }));
  EXPECT_FALSE(WaitUntilDetached(cow.get()));
}

TEST_F(DmTest, WhatAKilledProcessLeavesIsFoundAndRemoved) {
  const UniqueFd cow = NewCow("a");
  ASSERT_TRUE(RunAndKill([&] {
    auto device = Attach(cow, "a");
    new DmDevice::Suspended(device->device());  // for ever
    (void)device.release();
  }));
  EXPECT_THAT(ListDmDevices(prefix_), testing::SizeIs(1));
  EXPECT_EQ(RemoveDmDevices(prefix_), 1U);
  EXPECT_THAT(ListDmDevices(prefix_), testing::IsEmpty());
  EXPECT_FALSE(WaitUntilDetached(cow.get()));
  EXPECT_EQ(RemoveDmDevices(prefix_), 0U);
}

// A suspension freezes the filesystem, so the copy needs no recovery.
TEST_F(DmTest, AFilesystemOnItIsConsistentInTheCopy) {
  const UniqueFd cow = NewCow("a");
  const auto device = Attach(cow, "a");
  ASSERT_EQ(std::system(("mkfs.ext4 -q " + device->device().path()).c_str()), 0);
  const std::string place = directory_.Path("mnt");
  std::filesystem::create_directory(place);
  const UniqueFd copy = NewCow("copy", 0);
  {
    const TestMount mounted("ext4", device->device().path(), place);
    const UniqueFd root(open(place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    WriteFileAt(root.get(), "file", "in the page cache only");
    const DmDevice::Suspended suspended(device->device());
    CopySparse(cow.get(), copy.get());
  }
  const auto snapshot = Attach(copy, "snapshot", /*read_only=*/true);
  EXPECT_EQ(std::system(("e2fsck -fn " + snapshot->device().path() + " >/dev/null 2>&1").c_str()),
            0);
  // A journal that wants to be played back could not be mounted from a device that is read-only.
  const TestMount mounted("ext4", snapshot->device().path(), place, MS_RDONLY);
  const UniqueFd root(open(place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(ReadFileAt(root.get(), "file"), "in the page cache only");
}

}  // namespace
}  // namespace ckptfs
