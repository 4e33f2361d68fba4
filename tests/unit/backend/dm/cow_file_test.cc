#include "backend/dm/cow_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/sparse_copy.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

TEST(CowFileTest, HasRoomForEveryChunkOfTheBase) {
  EXPECT_EQ(CowFileBytes(0), 2 * kCowChunkBytes);
  EXPECT_EQ(CowFileBytes(1), 4 * kCowChunkBytes);
  EXPECT_EQ(CowFileBytes(256 * kCowChunkBytes), (1 + 256 + 1 + 1) * kCowChunkBytes);
  EXPECT_EQ(CowFileBytes(257 * kCowChunkBytes), (1 + 257 + 2 + 1) * kCowChunkBytes);
}

TEST(CowFileTest, IsSparseAndNeverReplacesAnother) {
  const TestDirectory directory;
  const UniqueFd fd = MakeCowFile(directory.fd(), "a.cow", 1 << 30);
  struct stat status {};
  ASSERT_EQ(fstat(fd.get(), &status), 0);
  EXPECT_EQ(status.st_size, 1 << 30);
  EXPECT_EQ(status.st_blocks, 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  EXPECT_EQ(ErrorOf([&] { MakeCowFile(directory.fd(), "a.cow", 1 << 20); }).errno_value(), EEXIST);
}

TEST(CowFileTest, CopyHasTheSameBytesAndTheSameHoles) {
  const TestDirectory directory;
  const UniqueFd source = MakeCowFile(directory.fd(), "source", 64 << 20);
  const std::string begin(kCowChunkBytes, 'b');
  const std::string middle(3 * kCowChunkBytes, 'm');
  ASSERT_EQ(pwrite(source.get(), begin.data(), begin.size(), 0), ssize_t(begin.size()));
  constexpr off_t kMiddle = off_t{32} << 20;
  ASSERT_EQ(pwrite(source.get(), middle.data(), middle.size(), kMiddle), ssize_t(middle.size()));

  const UniqueFd target = MakeCowFile(directory.fd(), "target", 0);
  CopySparse(source.get(), target.get());
  ASSERT_EQ(fsync(source.get()) + fsync(target.get()), 0);
  struct stat of_source {};
  struct stat of_target {};
  ASSERT_EQ(fstat(source.get(), &of_source) + fstat(target.get(), &of_target), 0);
  EXPECT_EQ(of_target.st_size, of_source.st_size);
  EXPECT_LE(of_target.st_blocks, of_source.st_blocks);
  std::string found(middle.size(), '\0');
  ASSERT_EQ(pread(target.get(), found.data(), begin.size(), 0), ssize_t(begin.size()));
  EXPECT_EQ(found.substr(0, begin.size()), begin);
  ASSERT_EQ(pread(target.get(), found.data(), found.size(), kMiddle), ssize_t(found.size()));
  EXPECT_EQ(found, middle);
  EXPECT_EQ(lseek(target.get(), kMiddle + off_t(middle.size()), SEEK_DATA), -1);
  EXPECT_EQ(errno, ENXIO);
}

TEST(CowFileTest, CopyOfAnEmptyOneIsAllHole) {
  const TestDirectory directory;
  const UniqueFd source = MakeCowFile(directory.fd(), "source", 1 << 20);
  const UniqueFd target = MakeCowFile(directory.fd(), "target", 0);
  CopySparse(source.get(), target.get());
  struct stat status {};
  ASSERT_EQ(fstat(target.get(), &status), 0);
  EXPECT_EQ(status.st_size, 1 << 20);
  EXPECT_EQ(status.st_blocks, 0);
}

}  // namespace
}  // namespace ckptfs
