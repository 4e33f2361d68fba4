// Files that have no name any more, but are in use.
#include <linux/falloc.h>
#include <sys/xattr.h>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class Unlinked : public PosixTest {};

TEST_F(Unlinked, EverythingWorksThroughTheDescriptor) {
  const UniqueFd fd = Open(Path("file"), O_RDWR | O_CREAT);
  WriteAt(fd.get(), 0, "content");
  const ino_t number = Stat(fd.get()).st_ino;
  ASSERT_OK(unlink(Path("file").c_str()));
  EXPECT_EQ(Stat(fd.get()).st_nlink, 0U);
  EXPECT_EQ(Stat(fd.get()).st_ino, number);
  EXPECT_EQ(ReadAt(fd.get(), 0, 10), "content");
  WriteAt(fd.get(), 100'000, "more");
  EXPECT_EQ(Stat(fd.get()).st_size, 100'004);
  EXPECT_OK(ftruncate(fd.get(), 50));
  EXPECT_EQ(Stat(fd.get()).st_size, 50);
  EXPECT_OK(fallocate(fd.get(), 0, 0, 9000));
  EXPECT_OK(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
  WriteAt(fd.get(), 5000, "x");
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_DATA), 4096);
  EXPECT_OK(fchmod(fd.get(), 0600));
  EXPECT_OK(fchown(fd.get(), kAlice.uid, kAlice.gid));
  EXPECT_EQ(Stat(fd.get()).st_uid, kAlice.uid);
  const timespec times[2] = {{1000, 1}, {2000, 2}};
  EXPECT_OK(futimens(fd.get(), times));
  EXPECT_EQ(Mtime(Stat(fd.get())), 2'000'000'000'002);
  EXPECT_OK(fsetxattr(fd.get(), "user.a", "x", 1, 0));
  char value = 0;
  EXPECT_EQ(fgetxattr(fd.get(), "user.a", &value, 1), 1);
  EXPECT_OK(fsync(fd.get()));
  const UniqueFd other = Open(Path("other"), O_RDWR | O_CREAT);
  off_t in = 0;
  off_t out = 0;
  EXPECT_EQ(copy_file_range(fd.get(), &in, other.get(), &out, 4096, 0), 4096);
}

TEST_F(Unlinked, ANewFileOfTheSameNameIsAnotherFile) {
  WriteFile(Path("file"), "old");
  const UniqueFd old = Open(Path("file"), O_RDWR);
  for (int i = 0; i < 50; ++i) {
    ASSERT_OK(unlink(Path("file").c_str()));
    WriteFile(Path("file"), "new " + std::to_string(i));
    ASSERT_EQ(ReadFile(Path("file")), "new " + std::to_string(i));
    ASSERT_NE(Stat(Path("file")).st_ino, Stat(old.get()).st_ino);
  }
  EXPECT_EQ(ReadAt(old.get(), 0, 10), "old");
}

TEST_F(Unlinked, ReplacedByARename) {
  WriteFile(Path("file"), "old");
  const UniqueFd old = Open(Path("file"), O_RDWR);
  WriteFile(Path("new"), "new");
  ASSERT_OK(rename(Path("new").c_str(), Path("file").c_str()));
  EXPECT_EQ(Stat(old.get()).st_nlink, 0U);
  WriteAt(old.get(), 0, "OLD");
  EXPECT_EQ(ReadAt(old.get(), 0, 3), "OLD");
  EXPECT_EQ(ReadFile(Path("file")), "new");
}

TEST_F(Unlinked, InAnotherProcess) {
  WriteFile(Path("file"), "content");
  const UniqueFd fd = Open(Path("file"), O_RDONLY);
  EXPECT_TRUE(InChild([&] { ASSERT_OK(unlink(Path("file").c_str())); }));
  EXPECT_EQ(Stat(fd.get()).st_nlink, 0U);
  EXPECT_EQ(ReadAt(fd.get(), 0, 10), "content");
}

TEST_F(Unlinked, APathDescriptorStillTellsAttributes) {
  WriteFile(Path("file"), "content");
  const UniqueFd fd = Open(Path("file"), O_PATH);
  ASSERT_OK(unlink(Path("file").c_str()));
  EXPECT_EQ(Stat(fd.get()).st_nlink, 0U);
  EXPECT_EQ(Stat(fd.get()).st_size, 7);
}

TEST_F(Unlinked, AnOpenFifoStillTellsAttributes) {
  ASSERT_OK(mkfifo(Path("fifo").c_str(), 0600));
  const UniqueFd fd = Open(Path("fifo"), O_RDWR);
  ASSERT_OK(unlink(Path("fifo").c_str()));
  EXPECT_EQ(Stat(fd.get()).st_nlink, 0U);
  EXPECT_EQ(write(fd.get(), "x", 1), 1);
}

TEST_F(Unlinked, AnOpenDirectoryStillTellsAttributes) {
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  const UniqueFd fd = Open(Path("d"), O_RDONLY | O_DIRECTORY);
  ASSERT_OK(rmdir(Path("d").c_str()));
  EXPECT_EQ(Stat(fd.get()).st_nlink, 0U);
  EXPECT_ERRNO(ENOENT, openat(fd.get(), "x", O_CREAT | O_RDWR, 0644));
  EXPECT_ERRNO(ENOENT, openat(fd.get(), "x", O_RDONLY));
}

TEST_F(Unlinked, ManyAtOnce) {
  std::vector<UniqueFd> open_files;
  for (int i = 0; i < 300; ++i) {
    open_files.push_back(Open(Path(std::to_string(i)), O_RDWR | O_CREAT));
    WriteAt(open_files.back().get(), 0, std::to_string(i));
  }
  for (int i = 0; i < 300; ++i) ASSERT_OK(unlink(Path(std::to_string(i)).c_str()));
  for (size_t i = 0; i < open_files.size(); ++i) {
    EXPECT_EQ(ReadAt(open_files[i].get(), 0, 10), std::to_string(i));
  }
}

}  // namespace
}  // namespace ckptfs::testing
