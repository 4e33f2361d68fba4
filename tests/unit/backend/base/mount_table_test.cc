#include "backend/base/mount_table.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

std::vector<Mount> ReadLines(const std::string& lines) {
  const TestDirectory directory;
  std::ofstream(directory.Path("mountinfo")) << lines;
  return ReadMounts(directory.Path("mountinfo"));
}

TEST(MountTableTest, AMountIsReadWithItsEscapes) {
  const auto mounts = ReadLines(
      "36 35 8:17 /a\\040directory /mnt/with\\040blank\\134 rw,noatime master:1 - fuse.ckptfs "
      "/srv/the\\011store rw\n");
  ASSERT_EQ(mounts.size(), 1U);
  const Mount& mount = mounts[0];
  EXPECT_EQ(mount.id, 36);
  EXPECT_EQ(mount.device, makedev(8, 17));
  EXPECT_EQ(mount.root, "/a directory");
  EXPECT_EQ(mount.target, "/mnt/with blank\\");
  EXPECT_EQ(mount.type, kFilesystemType);
  EXPECT_EQ(mount.source, "/srv/the\tstore");
}

TEST(MountTableTest, OneThatHidesAnotherComesBehindIt) {
  const auto mounts = ReadLines(
      "40 35 0:40 / /mnt rw - tmpfs first rw\n"
      "41 40 0:41 / /mnt rw - tmpfs second rw\n");
  ASSERT_EQ(mounts.size(), 2U);
  EXPECT_EQ(mounts[0].source, "first");
  EXPECT_EQ(mounts[1].source, "second");
}

TEST(MountTableTest, WhatCannotBeReadIsEmpty) {
  EXPECT_TRUE(ReadMounts("/proc/self/none").empty());
}

TEST(MountTableTest, TheKernelsOwnListHasWhatIsMounted) {
  CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
  const TestDirectory directory;
  const TestMount mount("tmpfs", "of this test", directory.path());
  struct stat status {};
  ASSERT_EQ(stat(directory.path().c_str(), &status), 0);
  int found = 0;
  for (const Mount& listed : ReadMounts("/proc/thread-self/mountinfo")) {
    if (listed.target != directory.path()) continue;
    ++found;
    EXPECT_EQ(listed.type, "tmpfs");
    EXPECT_EQ(listed.source, "of this test");
    EXPECT_EQ(listed.device, status.st_dev);
    EXPECT_EQ(listed.root, "/");
  }
  EXPECT_EQ(found, 1);
}

}  // namespace
}  // namespace ckptfs
