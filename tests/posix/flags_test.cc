// The flags of chattr(1), and what statfs(2) tells.
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class Flags : public PosixTest {};

int GetFlags(const std::string& path) {
  const UniqueFd fd = Open(path, O_RDONLY);
  int flags = 0;
  EXPECT_OK(ioctl(fd.get(), FS_IOC_GETFLAGS, &flags));
  return flags;
}

int SetFlags(const std::string& path, int flags) {
  const UniqueFd fd = Open(path, O_RDONLY);
  return ioctl(fd.get(), FS_IOC_SETFLAGS, &flags);
}

TEST_F(Flags, ImmutableFiles) {
  WriteFile(Path("file"), "content");
  ASSERT_OK(SetFlags(Path("file"), FS_IMMUTABLE_FL));
  EXPECT_NE(GetFlags(Path("file")) & FS_IMMUTABLE_FL, 0);
  EXPECT_ERRNO(EPERM, open(Path("file").c_str(), O_WRONLY));
  EXPECT_ERRNO(EPERM, open(Path("file").c_str(), O_RDONLY | O_TRUNC));
  EXPECT_ERRNO(EPERM, truncate(Path("file").c_str(), 0));
  EXPECT_ERRNO(EPERM, unlink(Path("file").c_str()));
  EXPECT_ERRNO(EPERM, rename(Path("file").c_str(), Path("x").c_str()));
  EXPECT_ERRNO(EPERM, link(Path("file").c_str(), Path("x").c_str()));
  EXPECT_ERRNO(EPERM, chmod(Path("file").c_str(), 0600));
  EXPECT_ERRNO(EPERM, chown(Path("file").c_str(), 1, 1));
  EXPECT_EQ(ReadFile(Path("file")), "content");
  ASSERT_OK(SetFlags(Path("file"), 0));
  EXPECT_OK(unlink(Path("file").c_str()));
}

TEST_F(Flags, AppendOnlyFiles) {
  WriteFile(Path("file"), "content");
  ASSERT_OK(SetFlags(Path("file"), FS_APPEND_FL));
  EXPECT_ERRNO(EPERM, open(Path("file").c_str(), O_WRONLY));
  EXPECT_ERRNO(EPERM, truncate(Path("file").c_str(), 0));
  EXPECT_ERRNO(EPERM, unlink(Path("file").c_str()));
  {
    const UniqueFd fd = Open(Path("file"), O_WRONLY | O_APPEND);
    EXPECT_EQ(write(fd.get(), "+", 1), 1);
  }
  EXPECT_EQ(ReadFile(Path("file")), "content+");
  ASSERT_OK(SetFlags(Path("file"), 0));
}

TEST_F(Flags, ImmutableDirectories) {
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  WriteFile(Path("d/f"), "x");
  ASSERT_OK(SetFlags(Path("d"), FS_IMMUTABLE_FL));
  EXPECT_ERRNO(EPERM, unlink(Path("d/f").c_str()));
  EXPECT_ERRNO(EPERM, mkdir(Path("d/x").c_str(), 0755));
  EXPECT_ERRNO(EPERM, open(Path("d/x").c_str(), O_CREAT | O_RDWR, 0644));
  WriteFile(Path("d/f"), "the file itself may change");
  ASSERT_OK(SetFlags(Path("d"), 0));
  EXPECT_OK(unlink(Path("d/f").c_str()));
}

TEST_F(Flags, OthersOfBtrfs) {
  WriteFile(Path("file"), "");
  ASSERT_OK(SetFlags(Path("file"), FS_NOCOW_FL));
  EXPECT_NE(GetFlags(Path("file")) & FS_NOCOW_FL, 0);
  WriteFile(Path("other"), "");
  ASSERT_OK(SetFlags(Path("other"), FS_COMPR_FL | FS_NOATIME_FL));
  EXPECT_NE(GetFlags(Path("other")) & FS_COMPR_FL, 0);
  Chmod(Path("other"), 0666);
  EXPECT_TRUE(AsUser(kAlice, [&] {
    EXPECT_ERRNO(EPERM, SetFlags(Path("other"), FS_COMPR_FL)) << "not the owner";
    WriteFile(Path("alice"), "");
    EXPECT_ERRNO(EPERM, SetFlags(Path("alice"), FS_IMMUTABLE_FL)) << "for root only";
    EXPECT_OK(SetFlags(Path("alice"), FS_NODUMP_FL));
  }));
}

TEST_F(Flags, UnknownRequests) {
  WriteFile(Path("file"), "");
  const UniqueFd fd = Open(Path("file"), O_RDWR);
  EXPECT_ERRNO(ENOTTY, ioctl(fd.get(), 0x5413 /* TIOCGWINSZ */, nullptr));
  int bytes = 0;
  WriteAt(fd.get(), 0, "12345");
  EXPECT_OK(ioctl(fd.get(), FIONREAD, &bytes));
  EXPECT_EQ(bytes, 5);
}

TEST_F(Flags, SpaceIsTold) {
  sync();
  struct statvfs before {};
  ASSERT_OK(statvfs(dir().c_str(), &before));
  EXPECT_EQ(before.f_namemax, 255U);
  EXPECT_EQ(before.f_bsize, 4096U);
  EXPECT_EQ(before.f_frsize, 4096U);
  EXPECT_GT(before.f_blocks, before.f_bfree);
  EXPECT_GE(before.f_bfree, before.f_bavail);
  EXPECT_GT(before.f_bavail, 0U);
  const UniqueFd fd = Open(Path("file"), O_RDWR | O_CREAT);
  WriteAt(fd.get(), 0, Pattern(30 << 20, 1));
  sync();
  struct statvfs after {};
  ASSERT_OK(fstatvfs(fd.get(), &after));
  EXPECT_LE(after.f_bfree + (16U << 20) / 4096, before.f_bfree);
  EXPECT_EQ(after.f_blocks, before.f_blocks);
}

}  // namespace
}  // namespace ckptfs::testing
