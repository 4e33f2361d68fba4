#include "backend/base/sparse_copy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "backend/base/write_out.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

constexpr off_t kFarAway = off_t{1} << 40;
constexpr off_t kEnd = kFarAway + (off_t{1} << 20);

// A file with data at its beginning and far behind that, and a hole up to its end.
class SparseCopyTest : public testing::Test {
 protected:
  static UniqueFd Make(const TestDirectory& directory, const char* name) {
    return UniqueFd(CheckSyscall(
        openat(directory.fd(), name, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600), "make it"));
  }
  static void Fill(int fd) {
    CheckSyscall(pwrite(fd, "begin", 5, 0), "write");
    CheckSyscall(pwrite(fd, "far", 3, kFarAway), "write");
    CheckSyscall(ftruncate(fd, kEnd), "make it longer");
  }
  static void ExpectCopy(int fd) {
    struct stat status {};
    ASSERT_EQ(fstat(fd, &status), 0);
    EXPECT_EQ(status.st_size, kEnd);
    EXPECT_LT(status.st_blocks, 4096) << "its holes are holes";
    std::array<char, 8> text{};
    ASSERT_EQ(pread(fd, text.data(), 5, 0), 5);
    EXPECT_STREQ(text.data(), "begin");
    text = {};
    ASSERT_EQ(pread(fd, text.data(), 5, kFarAway), 5);
    EXPECT_STREQ(text.data(), "far");
  }

  const TestDirectory directory_;
};

TEST_F(SparseCopyTest, OnOneFilesystem) {
  const UniqueFd source = Make(directory_, "source");
  const UniqueFd target = Make(directory_, "target");
  Fill(source.get());
  CopySparse(source.get(), target.get());
  ExpectCopy(target.get());
}

TEST_F(SparseCopyTest, FromOneFilesystemToAnother) {
  CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
  const TestDirectory elsewhere;
  const TestMount mount("tmpfs", "none", elsewhere.path());
  const UniqueFd source(CheckSyscall(
      open(elsewhere.Path("source").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600), "make it"));
  const UniqueFd target = Make(directory_, "target");
  Fill(source.get());
  CopySparse(source.get(), target.get());
  ExpectCopy(target.get());
}

TEST_F(SparseCopyTest, OfAFileThatIsAllHole) {
  const UniqueFd source = Make(directory_, "source");
  const UniqueFd target = Make(directory_, "target");
  ASSERT_EQ(ftruncate(source.get(), kEnd), 0);
  CopySparse(source.get(), target.get());
  struct stat status {};
  ASSERT_EQ(fstat(target.get(), &status), 0);
  EXPECT_EQ(status.st_size, kEnd);
  EXPECT_EQ(status.st_blocks, 0);
}

// The kernel reads ahead into them, and takes them for data from then on.
TEST_F(SparseCopyTest, BlocksThatAreOnlyAllocatedAreNotCopied) {
  constexpr size_t kDataBytes = size_t{1} << 20;
  constexpr off_t kAllocatedBytes = off_t{64} << 20;
  const UniqueFd source = Make(directory_, "source");
  const UniqueFd target = Make(directory_, "target");
  const int result = fallocate(source.get(), 0, 0, kAllocatedBytes);
  if (result != 0 && errno == EOPNOTSUPP) GTEST_SKIP() << "its filesystem allocates nothing ahead";
  ASSERT_EQ(result, 0);
  const std::string data(kDataBytes, 'x');
  ASSERT_EQ(pwrite(source.get(), data.data(), data.size(), 0), static_cast<ssize_t>(kDataBytes));
  ASSERT_EQ(fsync(source.get()), 0);
  ASSERT_EQ(posix_fadvise(source.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  CopySparse(source.get(), target.get());
  struct stat status {};
  ASSERT_EQ(fstat(target.get(), &status), 0);
  EXPECT_EQ(status.st_size, kAllocatedBytes);
  EXPECT_LE(status.st_blocks * 512, 2 * kDataBytes);
}

TEST_F(SparseCopyTest, ATargetThatCannotBeWrittenToIsAnError) {
  const UniqueFd source = Make(directory_, "source");
  Fill(source.get());
  Make(directory_, "target");
  const UniqueFd target(openat(directory_.fd(), "target", O_RDONLY | O_CLOEXEC));
  EXPECT_THROW(CopySparse(source.get(), target.get()), Error);
}

TEST_F(SparseCopyTest, WhatIsWrittenOutHasItsBlocks) {
  const UniqueFd file = Make(directory_, "file");
  const std::string data(1 << 20, 'x');
  ASSERT_EQ(write(file.get(), data.data(), data.size()), static_cast<ssize_t>(data.size()));
  WriteOutData(file.get());
  struct stat status {};
  ASSERT_EQ(fstat(file.get(), &status), 0);
  EXPECT_GE(status.st_blocks * 512, static_cast<blkcnt_t>(data.size()));
  EXPECT_THROW(WriteOutData(-1), Error);
}

}  // namespace
}  // namespace ckptfs
