// Holes, allocation, copies between files, large offsets, direct I/O.
#include <linux/falloc.h>
#include <sys/sendfile.h>

#include <cstdlib>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class Ranges : public PosixTest {
 protected:
  UniqueFd Make(const std::string& name = "file") const {
    return Open(Path(name), O_RDWR | O_CREAT);
  }
};

TEST_F(Ranges, HolesAreFound) {
  const UniqueFd fd = Make();
  WriteAt(fd.get(), 0, Pattern(kBlock, 1));
  WriteAt(fd.get(), 64 * kBlock, Pattern(kBlock, 2));
  ASSERT_OK(ftruncate(fd.get(), 100 * kBlock));
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_DATA), 0);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_HOLE), kBlock);
  EXPECT_EQ(lseek(fd.get(), kBlock, SEEK_DATA), 64 * kBlock);
  EXPECT_EQ(lseek(fd.get(), 64 * kBlock, SEEK_HOLE), 65 * kBlock);
  EXPECT_ERRNO(ENXIO, lseek(fd.get(), 65 * kBlock, SEEK_DATA));
  EXPECT_ERRNO(ENXIO, lseek(fd.get(), 100 * kBlock, SEEK_HOLE));
  EXPECT_ERRNO(EINVAL, lseek(fd.get(), -1, SEEK_SET));
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), 100 * kBlock);
  EXPECT_EQ(lseek(fd.get(), -kBlock, SEEK_CUR), 99 * kBlock);
  ASSERT_OK(fsync(fd.get()));
  EXPECT_EQ(Stat(fd.get()).st_blocks, 2 * kBlock / 512);
  EXPECT_EQ(ReadAt(fd.get(), kBlock, 100), std::string(100, '\0'));
}

TEST_F(Ranges, SeekMovesThePosition) {
  const UniqueFd fd = Make();
  WriteAt(fd.get(), 0, "0123456789");
  EXPECT_EQ(lseek(fd.get(), 3, SEEK_SET), 3);
  char bytes[2] = {};
  EXPECT_EQ(read(fd.get(), bytes, 2), 2);
  EXPECT_EQ(std::string(bytes, 2), "34");
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_CUR), 5);
  // Another descriptor makes the file longer: SEEK_END must know.
  const UniqueFd other = Open(Path("file"), O_WRONLY | O_APPEND);
  EXPECT_EQ(write(other.get(), "ab", 2), 2);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), 12);
}

TEST_F(Ranges, AllocateAndKeepSize) {
  const UniqueFd fd = Make();
  ASSERT_OK(fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 0, 10 * kBlock));
  EXPECT_EQ(Stat(fd.get()).st_size, 0);
  EXPECT_EQ(Stat(fd.get()).st_blocks, 10 * kBlock / 512);
  ASSERT_OK(fallocate(fd.get(), 0, 0, 3 * kBlock + 1));
  EXPECT_EQ(Stat(fd.get()).st_size, 3 * kBlock + 1);
  EXPECT_EQ(ReadAt(fd.get(), 0, 5 * kBlock), std::string(3 * kBlock + 1, '\0'));
  EXPECT_EQ(posix_fallocate(fd.get(), 0, 20 * kBlock), 0);
  EXPECT_EQ(Stat(fd.get()).st_size, 20 * kBlock);
  EXPECT_ERRNO(EINVAL, fallocate(fd.get(), 0, 0, 0));
  EXPECT_ERRNO(EINVAL, fallocate(fd.get(), 0, -1, 10));
  const UniqueFd read_only = Open(Path("file"), O_RDONLY);
  EXPECT_ERRNO(EBADF, fallocate(read_only.get(), 0, 0, 10));
}

TEST_F(Ranges, PunchAndZero) {
  const UniqueFd fd = Make();
  std::string expected = Pattern(10 * kBlock, 3);
  WriteAt(fd.get(), 0, expected);
  ASSERT_OK(fsync(fd.get()));
  const blkcnt_t blocks = Stat(fd.get()).st_blocks;
  // Not on the bounds of blocks: the edges are overwritten, what lies between becomes a hole.
  ASSERT_OK(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 4 * kBlock));
  expected.replace(100, 4 * kBlock, std::string(4 * kBlock, '\0'));
  EXPECT_EQ(ReadAt(fd.get(), 0, expected.size()), expected);
  ASSERT_OK(fsync(fd.get()));
  EXPECT_LT(Stat(fd.get()).st_blocks, blocks);
  ASSERT_OK(fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 6 * kBlock + 5, 2 * kBlock));
  expected.replace(6 * kBlock + 5, 2 * kBlock, std::string(2 * kBlock, '\0'));
  EXPECT_EQ(ReadAt(fd.get(), 0, expected.size()), expected);
  ASSERT_OK(fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 9 * kBlock, 3 * kBlock));
  expected.replace(9 * kBlock, std::string::npos, std::string(3 * kBlock, '\0'));
  EXPECT_EQ(Stat(fd.get()).st_size, 12 * kBlock);
  EXPECT_EQ(ReadAt(fd.get(), 0, 20 * kBlock), expected);
  ASSERT_OK(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 20 * kBlock, kBlock));
  EXPECT_EQ(Stat(fd.get()).st_size, 12 * kBlock);
  EXPECT_ERRNO(EOPNOTSUPP, fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE, 0, kBlock));
  EXPECT_ERRNO(EOPNOTSUPP, fallocate(fd.get(), FALLOC_FL_COLLAPSE_RANGE, 0, kBlock));
  EXPECT_ERRNO(EOPNOTSUPP, fallocate(fd.get(), FALLOC_FL_INSERT_RANGE, 0, kBlock));
}

TEST_F(Ranges, TruncateZeroesWhatComesBack) {
  const UniqueFd fd = Make();
  WriteAt(fd.get(), 0, Pattern(3 * kBlock, 4));
  ASSERT_OK(ftruncate(fd.get(), 100));
  ASSERT_OK(ftruncate(fd.get(), 3 * kBlock));
  EXPECT_EQ(ReadAt(fd.get(), 100, 4 * kBlock), std::string(3 * kBlock - 100, '\0'));
  EXPECT_ERRNO(EINVAL, ftruncate(fd.get(), -1));
  EXPECT_ERRNO(EISDIR, truncate(dir().c_str(), 0));
  const UniqueFd read_only = Open(Path("file"), O_RDONLY);
  EXPECT_ERRNO(EINVAL, ftruncate(read_only.get(), 0));
}

TEST_F(Ranges, BeyondFourGibibytes) {
  constexpr off_t kFar = off_t{5} << 30;
  const UniqueFd fd = Make();
  WriteAt(fd.get(), kFar, "far away");
  EXPECT_EQ(Stat(Path("file")).st_size, kFar + 8);
  EXPECT_EQ(ReadAt(fd.get(), kFar, 8), "far away");
  EXPECT_EQ(ReadAt(fd.get(), kFar - 4096, 4096), std::string(4096, '\0'));
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_DATA), kFar);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), kFar + 8);
  ASSERT_OK(ftruncate(fd.get(), (off_t{9} << 30) + 1));
  EXPECT_EQ(Stat(Path("file")).st_size, (off_t{9} << 30) + 1);
  ASSERT_OK(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kFar, 4));
  EXPECT_EQ(ReadAt(fd.get(), kFar, 8), std::string("\0\0\0\0away", 8));
}

TEST_F(Ranges, CopyFileRange) {
  const UniqueFd from = Make("from");
  const UniqueFd to = Make("to");
  const std::string content = Pattern(1'000'000, 5);
  WriteAt(from.get(), 0, content);
  off_t in = 0;
  off_t out = 0;
  while (in < static_cast<off_t>(content.size())) {
    const ssize_t size = copy_file_range(from.get(), &in, to.get(), &out,
                                         content.size() - static_cast<size_t>(in), 0);
    ASSERT_OK(size);
    ASSERT_GT(size, 0);
  }
  EXPECT_EQ(ReadFile(Path("to")), content);
  EXPECT_EQ(Stat(Path("to")).st_size, 1'000'000);
  // At odd places, and within a file.
  in = 12'345;
  out = 2'000'001;
  EXPECT_EQ(copy_file_range(from.get(), &in, to.get(), &out, 70'000, 0), 70'000);
  EXPECT_EQ(in, 82'345);
  EXPECT_EQ(out, 2'070'001);
  EXPECT_EQ(ReadAt(to.get(), 2'000'001, 70'000), content.substr(12'345, 70'000));
  in = 0;
  out = 500'000;
  EXPECT_EQ(copy_file_range(from.get(), &in, from.get(), &out, 1000, 0), 1000);
  EXPECT_EQ(ReadAt(from.get(), 500'000, 1000), content.substr(0, 1000));
  in = 0;
  out = 500;
  EXPECT_ERRNO(EINVAL, copy_file_range(from.get(), &in, from.get(), &out, 1000, 0)) << "overlap";
  in = 2'000'000;
  EXPECT_EQ(copy_file_range(from.get(), &in, to.get(), &out, 10, 0), 0) << "past the end";
  const UniqueFd read_only = Open(Path("to"), O_RDONLY);
  in = 0;
  EXPECT_ERRNO(EBADF, copy_file_range(from.get(), &in, read_only.get(), &out, 10, 0));
}

TEST_F(Ranges, CopyOfDataThatIsNotYetOnDisk) {
  // Written through one descriptor and copied at once, again and again.
  const UniqueFd from = Make("from");
  const UniqueFd to = Make("to");
  for (uint32_t round = 0; round < 20; ++round) {
    const std::string content = Pattern(65536, round);
    WriteAt(from.get(), 0, content);
    off_t in = 0;
    off_t out = 0;
    ASSERT_EQ(copy_file_range(from.get(), &in, to.get(), &out, content.size(), 0), 65536);
    ASSERT_EQ(ReadAt(to.get(), 0, content.size()), content) << round;
  }
}

TEST_F(Ranges, CopyToAnotherTree) {
  const char* second = std::getenv("POSIX_TEST_DIR2");
  if (second == nullptr) GTEST_SKIP() << "POSIX_TEST_DIR2 is not set";
  const std::string path = std::string(second) + "/copy";
  const UniqueFd from = Make("from");
  const std::string content = Pattern(300'000, 6);
  WriteAt(from.get(), 0, content);
  {
    const UniqueFd to = Open(path, O_RDWR | O_CREAT | O_TRUNC);
    off_t in = 0;
    off_t out = 0;
    EXPECT_EQ(copy_file_range(from.get(), &in, to.get(), &out, content.size(), 0), 300'000);
    EXPECT_EQ(ReadFile(path), content);
  }
  EXPECT_OK(unlink(path.c_str()));
}

TEST_F(Ranges, SendfileAndSplice) {
  const UniqueFd from = Make("from");
  const UniqueFd to = Make("to");
  const std::string content = Pattern(200'000, 7);
  WriteAt(from.get(), 0, content);
  off_t position = 0;
  while (position < 200'000) ASSERT_GT(sendfile(to.get(), from.get(), &position, 200'000), 0);
  EXPECT_EQ(ReadFile(Path("to")), content);
  int ends[2];
  ASSERT_OK(pipe2(ends, O_CLOEXEC));
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  off_t in = 5000;
  off_t out = 1;
  ASSERT_EQ(splice(from.get(), &in, write_end.get(), nullptr, 8000, 0), 8000);
  ASSERT_EQ(splice(read_end.get(), nullptr, to.get(), &out, 8000, 0), 8000);
  EXPECT_EQ(ReadAt(to.get(), 1, 8000), content.substr(5000, 8000));
}

TEST_F(Ranges, LargeReadsAndWrites) {
  const UniqueFd fd = Make();
  const std::string content = Pattern((5 << 20) + 17, 8);
  EXPECT_EQ(write(fd.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
  std::string back(content.size() + 100, '\0');
  EXPECT_EQ(pread(fd.get(), back.data(), back.size(), 0), static_cast<ssize_t>(content.size()));
  back.resize(content.size());
  EXPECT_TRUE(back == content);
}

class DirectIo : public Ranges {
 protected:
  static constexpr size_t kBufferSize = 65536;
  PageBuffer buffer_{kBufferSize / kBlock};
};

TEST_F(DirectIo, SeesAndIsSeenByOrdinaryIo) {
  const UniqueFd direct = Open(Path("file"), O_RDWR | O_CREAT | O_DIRECT);
  const UniqueFd buffered = Open(Path("file"), O_RDWR);
  for (uint32_t round = 0; round < 10; ++round) {
    const std::string first = Pattern(kBufferSize, 2 * round);
    first.copy(buffer_.get(), kBufferSize);
    ASSERT_EQ(pwrite(direct.get(), buffer_.get(), kBufferSize, 0), ssize_t{kBufferSize});
    ASSERT_EQ(ReadAt(buffered.get(), 0, kBufferSize), first);
    const std::string second = Pattern(kBufferSize, 2 * round + 1);
    WriteAt(buffered.get(), 0, second);
    ASSERT_EQ(pread(direct.get(), buffer_.get(), kBufferSize, 0), ssize_t{kBufferSize});
    ASSERT_EQ(std::string(buffer_.get(), kBufferSize), second);
  }
  EXPECT_EQ(Stat(Path("file")).st_size, off_t{kBufferSize});
}

TEST_F(DirectIo, ExtendsAndReadsToTheEnd) {
  const UniqueFd fd = Open(Path("file"), O_RDWR | O_CREAT | O_DIRECT);
  std::fill_n(buffer_.get(), kBufferSize, 'x');
  for (off_t at = 0; at < 4 * off_t{kBufferSize}; at += kBufferSize) {
    ASSERT_EQ(pwrite(fd.get(), buffer_.get(), kBufferSize, at), ssize_t{kBufferSize});
    EXPECT_EQ(Stat(fd.get()).st_size, at + off_t{kBufferSize});
  }
  ASSERT_OK(ftruncate(fd.get(), 5000));
  EXPECT_EQ(pread(fd.get(), buffer_.get(), kBufferSize, 4096), 904);
  EXPECT_EQ(pread(fd.get(), buffer_.get(), kBufferSize, 8192), 0);
}

}  // namespace
}  // namespace ckptfs::testing
