#include "backend/base/open_beneath.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "backend/base/proc_path.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

class OpenBeneathTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(mkdirat(directory_.fd(), "top", 0755), 0);
    ASSERT_EQ(mkdirat(directory_.fd(), "top/d", 0755), 0);
    top_.Reset(openat(directory_.fd(), "top", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    Make("outside");
    Make("top/f");
    Make("top/d/f");
  }
  void Make(const char* path) const {
    const UniqueFd file(openat(directory_.fd(), path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    ASSERT_TRUE(file.valid()) << path;
  }
  int ErrnoOf(const char* path, int flags = O_RDONLY) const {
    errno = 0;
    return OpenBeneath(top_.get(), path, flags).valid() ? 0 : errno;
  }

  const TestDirectory directory_;
  UniqueFd top_;
};

TEST_F(OpenBeneathTest, WhatIsBelowIsOpened) {
  const UniqueFd file = OpenBeneath(top_.get(), "d/f", O_RDONLY);
  ASSERT_TRUE(file.valid());
  EXPECT_EQ(PathOfDescriptor(file.get()), directory_.Path("top/d/f"));
  EXPECT_NE(fcntl(file.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(ErrnoOf("d/../f"), 0);
  EXPECT_TRUE(OpenBeneath(top_.get(), "new", O_CREAT | O_WRONLY, 0600).valid());
  EXPECT_EQ(ErrnoOf("none"), ENOENT);
}

TEST_F(OpenBeneathTest, NothingThatLeadsOutIs) {
  EXPECT_EQ(ErrnoOf(".."), EXDEV);
  EXPECT_EQ(ErrnoOf("../outside"), EXDEV);
  EXPECT_EQ(ErrnoOf("d/../../outside"), EXDEV);
  EXPECT_EQ(ErrnoOf(directory_.Path("outside").c_str()), EXDEV);
}

TEST_F(OpenBeneathTest, NoLinkIsFollowed) {
  ASSERT_EQ(symlinkat("f", top_.get(), "link"), 0);
  ASSERT_EQ(symlinkat("d", top_.get(), "link-to-d"), 0);
  EXPECT_EQ(ErrnoOf("link"), ELOOP);
  EXPECT_EQ(ErrnoOf("link-to-d/f"), ELOOP);
  const UniqueFd link = OpenBeneath(top_.get(), "link", O_PATH);
  struct stat status {};
  ASSERT_EQ(fstat(link.get(), &status), 0);
  EXPECT_TRUE(S_ISLNK(status.st_mode));
}

TEST_F(OpenBeneathTest, MountPointsAreCrossedOnlyIfTheyMayBe) {
  CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
  const TestMount mount("tmpfs", "none", directory_.Path("top/d"));
  // The mount is in a mount namespace of its own, which `top_` may not be in.
  const UniqueFd top(open(directory_.Path("top").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_TRUE(OpenBeneath(top.get(), "d", O_RDONLY).valid());
  errno = 0;
  EXPECT_FALSE(OpenBeneath(top.get(), "d", O_RDONLY, 0, MountPoints::kRefuse).valid());
  EXPECT_EQ(errno, EXDEV);
}

TEST_F(OpenBeneathTest, APathLongerThanTheKernelTakesIsOpened) {
  const std::string name(200, 'n');
  std::string path;
  UniqueFd at(dup(top_.get()));
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(mkdirat(at.get(), name.c_str(), 0755), 0);
    at.Reset(openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    path += name + "/";
  }
  {
    const UniqueFd file(openat(at.get(), "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    ASSERT_TRUE(file.valid());
  }
  EXPECT_EQ(ErrnoOf((path + "f").c_str()), ENAMETOOLONG);
  EXPECT_TRUE(OpenLongBeneath(top_.get(), path + "f", O_RDONLY).valid());
  EXPECT_FALSE(OpenLongBeneath(top_.get(), path + "none", O_RDONLY).valid());
  EXPECT_EQ(errno, ENOENT);
  ASSERT_EQ(symlinkat("f", at.get(), "link"), 0);
  EXPECT_FALSE(OpenLongBeneath(top_.get(), path + "link", O_RDONLY).valid());
  EXPECT_EQ(errno, ELOOP);
}

}  // namespace
}  // namespace ckptfs
