#include "backend/base/store_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "backend/base/error.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

class StoreFileTest : public testing::Test {
 protected:
  int ErrnoOfOpening(const std::string& name, int flags = O_RDWR) {
    errno = 0;
    const UniqueFd file = TryOpenStoreFile(directory_.fd(), name, flags, 100);
    return file.valid() ? 0 : errno;
  }

  TestDirectory directory_;
};

TEST_F(StoreFileTest, OpensFiles) {
  WriteFileAt(directory_.fd(), "file", "text");
  EXPECT_EQ(ErrnoOfOpening("file"), 0);
  EXPECT_EQ(ErrnoOfOpening("file", O_RDONLY), 0);
  EXPECT_EQ(StoreFileOddity(directory_.fd(), "file"), "");
  EXPECT_EQ(ErrnoOfOpening("none"), ENOENT);
  EXPECT_EQ(StoreFileOddity(directory_.fd(), "none"), "");
}

TEST_F(StoreFileTest, OpensNothingElse) {
  const int fd = directory_.fd();
  WriteFileAt(fd, "file", "text");
  WriteFileAt(fd, "large", std::string(101, 'x'));
  ASSERT_EQ(mkfifoat(fd, "fifo", 0600), 0);
  ASSERT_EQ(mkdirat(fd, "directory", 0700), 0);
  ASSERT_EQ(symlinkat("file", fd, "link"), 0);
  for (const char* name : {"large", "fifo", "directory", "link"}) {
    // A FIFO opened for reading would wait for a writer.
    EXPECT_EQ(ErrnoOfOpening(name, O_RDONLY), EUCLEAN) << name;
    EXPECT_EQ(ErrnoOfOpening(name), EUCLEAN) << name;
    const Error error = ErrorOf([&] { OpenStoreFile(fd, name, O_RDWR, "open it", 100); });
    EXPECT_EQ(error.errno_value(), EUCLEAN) << name;
    EXPECT_THAT(error.what(), testing::HasSubstr(std::string("Move ") + name + " away"));
  }
  EXPECT_THAT(StoreFileOddity(fd, "fifo"), testing::HasSubstr("FIFO"));
  EXPECT_THAT(StoreFileOddity(fd, "link"), testing::HasSubstr("symbolic link"));
  EXPECT_THAT(StoreFileOddity(fd, "large", 100), testing::HasSubstr("101 bytes"));
  EXPECT_EQ(ErrnoOfOpening("../" + directory_.path().substr(1)), EXDEV);
}

TEST_F(StoreFileTest, ANewFileTakesThePlaceOfALinkAndLeavesWhatThatLedTo) {
  const int fd = directory_.fd();
  WriteFileAt(fd, "file", "text");
  ASSERT_EQ(symlinkat("file", fd, "link"), 0);
  EXPECT_TRUE(ReplaceStoreFile(fd, "link").valid());
  EXPECT_EQ(StoreFileOddity(fd, "link"), "");
  EXPECT_EQ(ReadFileAt(fd, "file"), "text");
  ASSERT_EQ(mkdirat(fd, "directory", 0700), 0);
  EXPECT_FALSE(ReplaceStoreFile(fd, "directory").valid());
}

TEST_F(StoreFileTest, OnlyBlockDevicesAreOpenedAsSuch) {
  WriteFileAt(directory_.fd(), "file", "text");
  for (const std::string& path : {directory_.Path("file"), std::string("/dev/null")}) {
    errno = 0;
    EXPECT_FALSE(TryOpenBlockDevice(path, O_RDONLY).valid()) << path;
    EXPECT_EQ(errno, ENOTBLK) << path;
  }
}

}  // namespace
}  // namespace ckptfs
