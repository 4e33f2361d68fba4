#include "backend/mount/loop_device.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <set>
#include <thread>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/units.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

class LoopDeviceTest : public testing::Test {
 protected:
  void SetUp() override { CKPTFS_SKIP_WITHOUT_LOOP_DEVICES(); }

  UniqueFd MakeFile(const std::string& name, uint64_t bytes) {
    UniqueFd fd(openat(directory_.fd(), name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
    return fd;
  }

  static uint64_t SizeOf(const LoopDevice& loop) {
    uint64_t bytes = 0;
    EXPECT_EQ(ioctl(loop.fd(), BLKGETSIZE64, &bytes), 0);
    return bytes;
  }

  TestDirectory directory_;
};

TEST_F(LoopDeviceTest, DetachesItselfWhenItsOwnerGoes) {
  const UniqueFd file = MakeFile("detaches.img", 8 * kMiB);
  {
    const LoopDevice loop(file.get(), {.name = "detaches.img"});
    EXPECT_EQ(SizeOf(loop), 8 * kMiB);
    EXPECT_EQ(WaitUntilDetached(file.get()), loop.path());
  }
  EXPECT_EQ(WaitUntilDetached(file.get()), std::nullopt);
}

TEST_F(LoopDeviceTest, UsesDirectIoOnADisk) {
  const UniqueFd file = MakeFile("direct.img", 8 * kMiB);
  const LoopDevice loop(file.get(), {});
  loop_info64 info{};
  ASSERT_EQ(ioctl(loop.fd(), LOOP_GET_STATUS64, &info), 0);
  EXPECT_TRUE(info.lo_flags & LO_FLAGS_AUTOCLEAR);
  EXPECT_FALSE(info.lo_flags & LO_FLAGS_PARTSCAN);
  EXPECT_EQ(loop.direct_io(), (info.lo_flags & LO_FLAGS_DIRECT_IO) != 0);
  const UniqueFd direct(openat(directory_.fd(), "direct.img", O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (!direct.valid()) GTEST_SKIP() << "no direct I/O on the disk of /var/tmp";
  EXPECT_TRUE(loop.direct_io());
}

TEST_F(LoopDeviceTest, ReadOnlyRefusesWrites) {
  const UniqueFd file = MakeFile("ro.img", 8 * kMiB);
  const LoopDevice loop(file.get(), {.read_only = true});
  int read_only = 0;
  ASSERT_EQ(ioctl(loop.fd(), BLKROGET, &read_only), 0);
  EXPECT_EQ(read_only, 1);
}

TEST_F(LoopDeviceTest, FollowsItsFileWhenThatGrows) {
  const UniqueFd file = MakeFile("grows.img", 8 * kMiB);
  LoopDevice loop(file.get(), {});
  ASSERT_EQ(ftruncate(file.get(), 12 * kMiB), 0);
  loop.UpdateSize();
  EXPECT_EQ(SizeOf(loop), 12 * kMiB);
}

TEST_F(LoopDeviceTest, ManyAtOnceGetOneEach) {
  constexpr int kThreads = 4;
  constexpr int kDevicesEach = 3;
  std::vector<std::vector<LoopDevice>> devices(kThreads);
  {
    std::vector<std::jthread> threads;
    threads.reserve(kThreads);
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kDevicesEach; ++i) {
          const UniqueFd file = MakeFile(std::to_string(t) + "-" + std::to_string(i), kMiB);
          devices[t].emplace_back(file.get(), LoopOptions{});
        }
      });
    }
  }
  std::set<std::string> paths;
  for (const auto& list : devices) {
    for (const LoopDevice& device : list) paths.insert(device.path());
  }
  EXPECT_EQ(paths.size(), size_t{kThreads} * kDevicesEach);
}

TEST_F(LoopDeviceTest, NamesTheFileThatCannotBeAttached) {
  const UniqueFd not_a_file(open("/dev/null", O_RDWR | O_CLOEXEC));
  const Error error = ErrorOf([&] { LoopDevice(not_a_file.get(), {.name = "some.img"}); });
  EXPECT_EQ(error.errno_value(), EINVAL);
  EXPECT_NE(std::string(error.what()).find("some.img"), std::string::npos);
}

}  // namespace
}  // namespace ckptfs
