// rename(2) and its flags.
#include <linux/fs.h>
#include <sys/sysmacros.h>

#include <cstdio>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class Rename : public PosixTest {
 protected:
  int Do(const std::string& from, const std::string& to, unsigned int flags = 0) const {
    return renameat2(AT_FDCWD, Path(from).c_str(), AT_FDCWD, Path(to).c_str(), flags);
  }
  void MakeDirectory(const std::string& name) const { ASSERT_OK(mkdir(Path(name).c_str(), 0755)); }
};

TEST_F(Rename, ReplacesAFileInOneStep) {
  WriteFile(Path("old"), "old");
  WriteFile(Path("new"), "new");
  ASSERT_OK(link(Path("old").c_str(), Path("old2").c_str()));
  const struct stat source = Stat(Path("new"));
  const UniqueFd still_open = Open(Path("old"), O_RDONLY);
  LetTheClockTick();
  ASSERT_OK(Do("new", "old"));
  EXPECT_FALSE(Exists(Path("new")));
  EXPECT_EQ(ReadFile(Path("old")), "new");
  EXPECT_EQ(Stat(Path("old")).st_ino, source.st_ino);
  EXPECT_GT(Ctime(Stat(Path("old"))), Ctime(source));
  EXPECT_EQ(Mtime(Stat(Path("old"))), Mtime(source));
  EXPECT_EQ(Stat(Path("old2")).st_nlink, 1U) << "the replaced name no longer counts";
  EXPECT_EQ(ReadAt(still_open.get(), 0, 3), "old");
}

TEST_F(Rename, TwoNamesOfOneFileStayAsTheyAre) {
  WriteFile(Path("a"), "x");
  ASSERT_OK(link(Path("a").c_str(), Path("b").c_str()));
  EXPECT_OK(Do("a", "b"));
  EXPECT_TRUE(Exists(Path("a")));
  EXPECT_TRUE(Exists(Path("b")));
  EXPECT_OK(Do("a", "a"));
}

TEST_F(Rename, Directories) {
  for (const char* name : {"from", "from/in", "empty", "full", "full/x"}) MakeDirectory(name);
  WriteFile(Path("file"), "");
  EXPECT_ERRNO(ENOTEMPTY, Do("from", "full"));
  EXPECT_ERRNO(ENOTDIR, Do("from", "file"));
  EXPECT_ERRNO(EISDIR, Do("file", "empty"));
  EXPECT_ERRNO(EINVAL, Do("from", "from/in/deeper"));
  EXPECT_ERRNO(EINVAL, Do("from", "from/in"));
  EXPECT_ERRNO(ENOTEMPTY, Do("from/in", "from"));
  EXPECT_ERRNO(ENOENT, Do("none", "x"));
  EXPECT_ERRNO(ENOENT, Do("from", "none/x"));
  EXPECT_ERRNO(ENOTDIR, Do("from", "file/x"));
  EXPECT_ERRNO(EBUSY, Do("from/.", "x"));
  const ino_t number = Stat(Path("from")).st_ino;
  EXPECT_OK(Do("from", "empty"));
  EXPECT_EQ(Stat(Path("empty")).st_ino, number);
  EXPECT_THAT(List(Path("empty")), ::testing::ElementsAre("in"));
}

TEST_F(Rename, LinkCountsAndDotDotFollowAMovedDirectory) {
  for (const char* name : {"a", "b", "a/moved"}) MakeDirectory(name);
  const UniqueFd moved = Open(Path("a/moved"), O_RDONLY | O_DIRECTORY);
  ASSERT_OK(Do("a/moved", "b/moved"));
  struct stat up {};
  ASSERT_OK(fstatat(moved.get(), "..", &up, 0));
  EXPECT_EQ(up.st_ino, Stat(Path("b")).st_ino);
  // btrfs counts no subdirectories: 1 for every directory.
  EXPECT_EQ(Stat(Path("a")).st_nlink, 1U);
  EXPECT_EQ(Stat(Path("b")).st_nlink, 1U);
}

TEST_F(Rename, TimesOfTheDirectories) {
  for (const char* name : {"a", "b"}) MakeDirectory(name);
  WriteFile(Path("a/f"), "");
  const struct stat a = Stat(Path("a"));
  const struct stat b = Stat(Path("b"));
  LetTheClockTick();
  ASSERT_OK(Do("a/f", "b/f"));
  EXPECT_GT(Mtime(Stat(Path("a"))), Mtime(a));
  EXPECT_GT(Ctime(Stat(Path("a"))), Ctime(a));
  EXPECT_GT(Mtime(Stat(Path("b"))), Mtime(b));
  EXPECT_GT(Ctime(Stat(Path("b"))), Ctime(b));
}

TEST_F(Rename, NoReplace) {
  WriteFile(Path("a"), "a");
  WriteFile(Path("b"), "b");
  EXPECT_ERRNO(EEXIST, Do("a", "b", RENAME_NOREPLACE));
  EXPECT_EQ(ReadFile(Path("b")), "b");
  EXPECT_OK(Do("a", "c", RENAME_NOREPLACE));
  EXPECT_EQ(ReadFile(Path("c")), "a");
  EXPECT_ERRNO(EINVAL, Do("c", "b", RENAME_NOREPLACE | RENAME_EXCHANGE));
}

TEST_F(Rename, Exchange) {
  WriteFile(Path("file"), "content");
  MakeDirectory("d");
  MakeDirectory("d/in");
  const ino_t file = Stat(Path("file")).st_ino;
  const ino_t directory = Stat(Path("d")).st_ino;
  EXPECT_ERRNO(ENOENT, Do("file", "none", RENAME_EXCHANGE));
  EXPECT_ERRNO(EINVAL, Do("d", "d/in", RENAME_EXCHANGE));
  ASSERT_OK(Do("file", "d", RENAME_EXCHANGE));
  EXPECT_EQ(Stat(Path("d")).st_ino, file);
  EXPECT_EQ(Stat(Path("file")).st_ino, directory);
  EXPECT_EQ(ReadFile(Path("d")), "content");
  EXPECT_THAT(List(Path("file")), ::testing::ElementsAre("in"));
  WriteFile(Path("file/in/x"), "between directories");
  ASSERT_OK(Do("file/in/x", "d", RENAME_EXCHANGE));
  EXPECT_EQ(ReadFile(Path("d")), "between directories");
  EXPECT_EQ(ReadFile(Path("file/in/x")), "content");
}

TEST_F(Rename, WhiteoutLeavesADevice) {
  WriteFile(Path("a"), "content");
  ASSERT_OK(Do("a", "b", RENAME_WHITEOUT));
  const struct stat left = Stat(Path("a"));
  EXPECT_TRUE(S_ISCHR(left.st_mode));
  EXPECT_EQ(left.st_rdev, makedev(0, 0));
  EXPECT_EQ(ReadFile(Path("b")), "content");
  // An overlay's upper layer is deleted by users too: it needs no privilege to make a whiteout.
  EXPECT_TRUE(AsUser(kAlice, [&] {
    WriteFile(Path("c"), "");
    EXPECT_OK(Do("c", "d", RENAME_WHITEOUT));
    EXPECT_EQ(Stat(Path("c")).st_uid, kAlice.uid);
  }));
}

TEST_F(Rename, OfAnotherUsersFiles) {
  MakeDirectory("closed");
  WriteFile(Path("closed/f"), "");
  EXPECT_TRUE(AsUser(kAlice, [&] {
    EXPECT_ERRNO(EACCES, Do("closed/f", "f"));
    WriteFile(Path("mine"), "");
    EXPECT_ERRNO(EACCES, Do("mine", "closed/mine"));
    // Moving a directory changes its "..", so it needs write permission itself.
    EXPECT_OK(mkdir(Path("target").c_str(), 0755));
    EXPECT_ERRNO(EACCES, Do("closed", "target/closed"));
    EXPECT_OK(Do("closed", "renamed in place"));
  }));
}

TEST_F(Rename, ManyTimesBesideReaders) {
  // A name that is replaced again and again is there at every moment.
  WriteFile(Path("target"), "0");
  Signal done;
  Child reader([&] {
    for (int i = 0; i < 3000; ++i) {
      const int fd = open(Path("target").c_str(), O_RDONLY);
      ASSERT_OK(fd) << "after " << i;
      const UniqueFd closes(fd);
      EXPECT_FALSE(ReadAt(fd, 0, 8).empty());
    }
  });
  for (int i = 0; i < 1000; ++i) {
    WriteFile(Path("next"), std::to_string(i));
    ASSERT_OK(Do("next", "target"));
  }
  EXPECT_TRUE(reader.Succeeded());
}

}  // namespace
}  // namespace ckptfs::testing
