// Writing data out ahead of a snapshot.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>

#include "backend/base/units.h"
#include "backend/interface/backend.h"
#include "backend/registry.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

class WriteOutTest : public testing::Test {
 protected:
  void SetUp() override {
    CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
    store_.Reset(openat(directory_.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CreateBackend(store_.get(), "btrfs-loop", {.size_bytes = 512 * kMiB});
    backend_ = OpenBackend(store_.get(), "btrfs-loop", {});
    backend_->CreateEmpty(live_);
    volume_ = backend_->Open(live_);
  }

  UniqueFd Create(const char* name) {
    UniqueFd fd(openat(volume_->root_fd(), name, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    EXPECT_TRUE(fd.valid());
    return fd;
  }

  TestDirectory directory_;
  UniqueFd store_;
  std::unique_ptr<Backend> backend_;
  const VolumeId live_ = VolumeId::Generate();
  std::shared_ptr<Volume> volume_;
};

// Whether the file's first bytes have no place on the disk yet.
bool WaitsInMemory(int fd) {
  alignas(fiemap) std::array<char, sizeof(fiemap) + sizeof(fiemap_extent)> buffer{};
  auto* map = reinterpret_cast<fiemap*>(buffer.data());
  map->fm_length = 4096;
  map->fm_extent_count = 1;
  EXPECT_EQ(ioctl(fd, FS_IOC_FIEMAP, map), 0);
  return map->fm_mapped_extents == 1 && (map->fm_extents[0].fe_flags & FIEMAP_EXTENT_DELALLOC) != 0;
}

TEST_F(WriteOutTest, LeavesNothingInMemory) {
  const UniqueFd fd = Create("file");
  const std::string data(size_t{1} << 20, 'x');
  ASSERT_EQ(write(fd.get(), data.data(), data.size()), static_cast<ssize_t>(data.size()));
  ASSERT_TRUE(WaitsInMemory(fd.get()));
  backend_->WriteOut(live_);
  EXPECT_FALSE(WaitsInMemory(fd.get()));
  EXPECT_EQ(backend_->List().size(), 1U);  // no volume came of it
}

// What waits for all volumes waits for as long as somebody else's data takes.
TEST_F(WriteOutTest, NothingOfOtherVolumesIsWrittenForAVolumesChangesOrItsSealing) {
  const VolumeId other = VolumeId::Generate();
  backend_->CreateEmpty(other);
  const std::string data(size_t{1} << 20, 'x');
  const auto write_to = [&](int fd) {
    ASSERT_EQ(write(fd, data.data(), data.size()), static_cast<ssize_t>(data.size()));
  };
  const std::shared_ptr<Volume> other_volume = backend_->Open(other);
  const UniqueFd others(
      openat(other_volume->root_fd(), "file", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  const UniqueFd ours = Create("file");
  write_to(others.get());
  write_to(ours.get());
  backend_->SettleChanges(live_);
  EXPECT_FALSE(WaitsInMemory(ours.get()));
  EXPECT_TRUE(WaitsInMemory(others.get()));
  write_to(ours.get());
  backend_->Seal(live_);
  EXPECT_FALSE(WaitsInMemory(ours.get()));
  EXPECT_TRUE(WaitsInMemory(others.get()));
  backend_->Sync(live_);
  EXPECT_FALSE(WaitsInMemory(others.get()));
}

}  // namespace
}  // namespace ckptfs
