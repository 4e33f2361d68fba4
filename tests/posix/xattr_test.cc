// Extended attributes.
#include <linux/limits.h>
#include <sys/xattr.h>

#include <set>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class Xattrs : public PosixTest {
 protected:
  void SetUp() override {
    PosixTest::SetUp();
    WriteFile(Path("file"), "content");
  }
  std::string file() const { return Path("file"); }
};

int Set(const std::string& path, const std::string& name, std::string_view value, int flags = 0) {
  return lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), flags);
}

std::string Get(const std::string& path, const std::string& name) {
  std::string value(XATTR_SIZE_MAX, '\0');
  const ssize_t size = lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
  if (size < 0) return "error " + ErrnoOf(-1);
  value.resize(static_cast<size_t>(size));
  return value;
}

std::set<std::string> Names(const std::string& path) {
  std::string list(XATTR_LIST_MAX, '\0');
  const ssize_t size = llistxattr(path.c_str(), list.data(), list.size());
  EXPECT_OK(size);
  std::set<std::string> names;
  for (size_t at = 0; at < static_cast<size_t>(size);) {
    names.insert(list.c_str() + at);
    at += std::string_view(list.c_str() + at).size() + 1;
  }
  return names;
}

TEST_F(Xattrs, SetGetListRemove) {
  const struct stat before = Stat(file());
  LetTheClockTick();
  ASSERT_OK(Set(file(), "user.a", "value"));
  EXPECT_GT(Ctime(Stat(file())), Ctime(before));
  EXPECT_EQ(Mtime(Stat(file())), Mtime(before));
  ASSERT_OK(Set(file(), "user.empty", ""));
  ASSERT_OK(Set(file(), "user.binary", std::string_view("\0\1\xff\0", 4)));
  ASSERT_OK(Set(file(), "trusted.t", "t"));
  ASSERT_OK(Set(file(), "security.s", "s"));
  EXPECT_EQ(Get(file(), "user.a"), "value");
  EXPECT_EQ(Get(file(), "user.empty"), "");
  EXPECT_EQ(Get(file(), "user.binary"), std::string_view("\0\1\xff\0", 4));
  EXPECT_EQ(Get(file(), "trusted.t"), "t");
  EXPECT_EQ(Get(file(), "security.s"), "s");
  EXPECT_EQ(Get(file(), "user.none"), "error ENODATA");
  EXPECT_THAT(Names(file()), ::testing::ElementsAre("security.s", "trusted.t", "user.a",
                                                    "user.binary", "user.empty"));
  ASSERT_OK(lremovexattr(file().c_str(), "user.a"));
  EXPECT_ERRNO(ENODATA, lremovexattr(file().c_str(), "user.a"));
  EXPECT_EQ(Get(file(), "user.a"), "error ENODATA");
  EXPECT_EQ(Names(file()).count("user.a"), 0U);
}

TEST_F(Xattrs, CreateAndReplace) {
  EXPECT_ERRNO(ENODATA, Set(file(), "user.a", "1", XATTR_REPLACE));
  EXPECT_OK(Set(file(), "user.a", "1", XATTR_CREATE));
  EXPECT_ERRNO(EEXIST, Set(file(), "user.a", "2", XATTR_CREATE));
  EXPECT_OK(Set(file(), "user.a", "3", XATTR_REPLACE));
  EXPECT_EQ(Get(file(), "user.a"), "3");
}

TEST_F(Xattrs, BuffersThatAreTooSmall) {
  ASSERT_OK(Set(file(), "user.a", "0123456789"));
  char buffer[16];
  EXPECT_EQ(lgetxattr(file().c_str(), "user.a", nullptr, 0), 10);
  EXPECT_ERRNO(ERANGE, lgetxattr(file().c_str(), "user.a", buffer, 9));
  EXPECT_EQ(lgetxattr(file().c_str(), "user.a", buffer, 10), 10);
  EXPECT_EQ(llistxattr(file().c_str(), nullptr, 0), 7);
  EXPECT_ERRNO(ERANGE, llistxattr(file().c_str(), buffer, 6));
  EXPECT_EQ(llistxattr(file().c_str(), buffer, 7), 7);
}

TEST_F(Xattrs, SizesAndNames) {
  // All that fits into a leaf of 16 KiB.
  for (const size_t size : {size_t{1}, size_t{255}, size_t{4096}, size_t{8192}, size_t{16000}}) {
    const std::string value = Pattern(size, 7);
    WriteFile(Path("new"), "");
    ASSERT_OK(Set(Path("new"), "user.large", value)) << size;
    EXPECT_EQ(Get(Path("new"), "user.large"), value) << size;
    ASSERT_OK(unlink(Path("new").c_str()));
  }
  EXPECT_ERRNO(ENOSPC, Set(file(), "user.large", std::string(16384, 'x')));
  EXPECT_EQ(Get(file(), "user.large"), "error ENODATA");
  EXPECT_ERRNO(E2BIG, Set(file(), "user.large", std::string(XATTR_SIZE_MAX + 1, 'x')));
  const std::string longest = "user." + std::string(250, 'n');
  EXPECT_OK(Set(file(), longest, "x"));
  EXPECT_EQ(Get(file(), longest), "x");
  EXPECT_ERRNO(ERANGE, Set(file(), longest + "n", "x"));
  EXPECT_ERRNO(EOPNOTSUPP, Set(file(), "nonsense.a", "x"));
  EXPECT_ERRNO(EINVAL, Set(file(), "user.", "x"));
}

TEST_F(Xattrs, ManyOfThem) {
  std::set<std::string> expected;
  for (int i = 0; i < 400; ++i) {
    const std::string name = "user.a rather long name number " + std::to_string(i);
    ASSERT_OK(Set(file(), name, std::to_string(i)));
    expected.insert(name);
  }
  EXPECT_EQ(Names(file()), expected);
}

TEST_F(Xattrs, WhoMay) {
  ASSERT_OK(Set(file(), "user.a", "x"));
  ASSERT_OK(Set(file(), "trusted.t", "x"));
  ASSERT_OK(Set(file(), "security.s", "x"));
  EXPECT_TRUE(AsUser(kAlice, [&] {
    EXPECT_EQ(Get(file(), "user.a"), "x");
    EXPECT_ERRNO(EACCES, Set(file(), "user.a", "y"));
    EXPECT_EQ(Get(file(), "trusted.t"), "error ENODATA");
    EXPECT_EQ(Names(file()).count("trusted.t"), 1U) << "btrfs lists what it does not show";
    EXPECT_ERRNO(EPERM, Set(file(), "trusted.t", "y"));
    EXPECT_ERRNO(EPERM, Set(file(), "security.s", "y"));
    EXPECT_EQ(Get(file(), "security.s"), "x");
  }));
  Chmod(file(), 0600);
  EXPECT_TRUE(AsUser(kAlice, [&] { EXPECT_EQ(Get(file(), "user.a"), "error EACCES"); }));
}

TEST_F(Xattrs, OnEveryKindOfFile) {
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  ASSERT_OK(symlink("file", Path("l").c_str()));
  ASSERT_OK(mkfifo(Path("p").c_str(), 0644));
  EXPECT_OK(Set(Path("d"), "user.a", "x"));
  EXPECT_EQ(Get(Path("d"), "user.a"), "x");
  for (const char* name : {"l", "p"}) {
    SCOPED_TRACE(name);
    EXPECT_ERRNO(EPERM, Set(Path(name), "user.a", "x"));
    EXPECT_OK(Set(Path(name), "trusted.a", "x"));
    EXPECT_EQ(Get(Path(name), "trusted.a"), "x");
  }
  EXPECT_EQ(Get(file(), "trusted.a"), "error ENODATA") << "the symlink's own";
  // Only its owner gives attributes to a sticky directory that others can write to.
  Chmod(Path("d"), 01777);
  EXPECT_TRUE(AsUser(kAlice, [&] { EXPECT_ERRNO(EPERM, Set(Path("d"), "user.b", "x")); }));
}

TEST_F(Xattrs, StayWithTheFile) {
  ASSERT_OK(Set(file(), "user.a", "x"));
  ASSERT_OK(link(file().c_str(), Path("link").c_str()));
  ASSERT_OK(rename(file().c_str(), Path("moved").c_str()));
  EXPECT_EQ(Get(Path("link"), "user.a"), "x");
  const UniqueFd fd = Open(Path("moved"), O_RDONLY);
  EXPECT_OK(fsetxattr(fd.get(), "user.b", "y", 1, 0));
  EXPECT_EQ(Get(Path("link"), "user.b"), "y");
}

TEST_F(Xattrs, BtrfsPropertiesAreRefusedWhereTheyMakeNoSense) {
  EXPECT_ERRNO(EINVAL, Set(file(), "btrfs.compression", "nonsense"));
  EXPECT_OK(Set(file(), "btrfs.compression", "zstd"));
  EXPECT_EQ(Get(file(), "btrfs.compression"), "zstd");
}

}  // namespace
}  // namespace ckptfs::testing
