// Hard links and symlinks.
#include <climits>
#include <fstream>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class Links : public PosixTest {};

std::string ReadLink(const std::string& path) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size = readlink(path.c_str(), target.data(), target.size());
  EXPECT_OK(size);
  target.resize(size < 0 ? 0 : static_cast<size_t>(size));
  return target;
}

TEST_F(Links, AFileHasAsManyNamesAsItsCountSays) {
  ASSERT_OK(mkdir(Path("sub").c_str(), 0755));
  WriteFile(Path("a"), "one");
  const struct stat before = Stat(Path("a"));
  EXPECT_EQ(before.st_nlink, 1U);
  LetTheClockTick();
  ASSERT_OK(link(Path("a").c_str(), Path("sub/b").c_str()));
  const struct stat a = Stat(Path("a"));
  const struct stat b = Stat(Path("sub/b"));
  EXPECT_EQ(a.st_nlink, 2U);
  EXPECT_EQ(b.st_nlink, 2U);
  EXPECT_EQ(a.st_ino, before.st_ino);
  EXPECT_EQ(b.st_ino, before.st_ino);
  EXPECT_GT(Ctime(a), Ctime(before)) << "link(2) changes the file's status";
  EXPECT_EQ(Mtime(a), Mtime(before));
  WriteFile(Path("sub/b"), "changed by its other name");
  EXPECT_EQ(ReadFile(Path("a")), "changed by its other name");
  EXPECT_EQ(Stat(Path("a")).st_size, 25);
  LetTheClockTick();
  ASSERT_OK(unlink(Path("a").c_str()));
  EXPECT_EQ(Stat(Path("sub/b")).st_nlink, 1U);
  EXPECT_GT(Ctime(Stat(Path("sub/b"))), Ctime(a));
}

TEST_F(Links, LinksThatCannotBe) {
  WriteFile(Path("a"), "");
  WriteFile(Path("b"), "");
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  EXPECT_ERRNO(EEXIST, link(Path("a").c_str(), Path("b").c_str()));
  EXPECT_ERRNO(EEXIST, link(Path("a").c_str(), Path("a").c_str()));
  EXPECT_ERRNO(EPERM, link(Path("d").c_str(), Path("e").c_str()));
  EXPECT_ERRNO(ENOENT, link(Path("none").c_str(), Path("e").c_str()));
  EXPECT_ERRNO(ENOENT, link(Path("a").c_str(), Path("none/e").c_str()));
  EXPECT_ERRNO(ENOTDIR, link(Path("a").c_str(), Path("b/e").c_str()));
  EXPECT_ERRNO(EXDEV, link(Path("a").c_str(), "/dev/ckptfs-test"));
  Chmod(Path("a"), 0666);
  EXPECT_TRUE(
      AsUser(kAlice, [&] { EXPECT_ERRNO(EACCES, link(Path("a").c_str(), Path("d/e").c_str())); }));
}

TEST_F(Links, ManyNames) {
  constexpr unsigned int kNames = 3000;
  WriteFile(Path("0"), "x");
  for (unsigned int i = 1; i < kNames; ++i) {
    ASSERT_OK(link(Path("0").c_str(), Path(std::to_string(i)).c_str()));
  }
  EXPECT_EQ(Stat(Path("17")).st_nlink, kNames);
  for (unsigned int i = 1; i < kNames; ++i) ASSERT_OK(unlink(Path(std::to_string(i)).c_str()));
  EXPECT_EQ(Stat(Path("0")).st_nlink, 1U);
}

TEST_F(Links, LinkToASymlinkAndThroughOne) {
  WriteFile(Path("file"), "x");
  ASSERT_OK(symlink("file", Path("symlink").c_str()));
  ASSERT_OK(link(Path("symlink").c_str(), Path("same symlink").c_str()));
  EXPECT_EQ(Stat(Path("symlink")).st_nlink, 2U);
  EXPECT_EQ(ReadLink(Path("same symlink")), "file");
  ASSERT_OK(linkat(AT_FDCWD, Path("symlink").c_str(), AT_FDCWD, Path("same file").c_str(),
                   AT_SYMLINK_FOLLOW));
  EXPECT_EQ(Stat(Path("same file")).st_ino, Stat(Path("file")).st_ino);
  EXPECT_EQ(Stat(Path("file")).st_nlink, 2U);
}

TEST_F(Links, LinkOfADescriptor) {
  WriteFile(Path("file"), "x");
  const UniqueFd fd = Open(Path("file"), O_PATH);
  ASSERT_OK(linkat(fd.get(), "", AT_FDCWD, Path("a").c_str(), AT_EMPTY_PATH));
  const std::string proc = "/proc/self/fd/" + std::to_string(fd.get());
  ASSERT_OK(linkat(AT_FDCWD, proc.c_str(), AT_FDCWD, Path("b").c_str(), AT_SYMLINK_FOLLOW));
  EXPECT_EQ(Stat(fd.get()).st_nlink, 3U);
  // The last name is gone: linkat(2) cannot bring it back, but for O_TMPFILE.
  const UniqueFd open_file = Open(Path("file"), O_RDONLY);
  for (const char* name : {"file", "a", "b"}) ASSERT_OK(unlink(Path(name).c_str()));
  EXPECT_ERRNO(ENOENT, linkat(open_file.get(), "", AT_FDCWD, Path("c").c_str(), AT_EMPTY_PATH));
}

TEST_F(Links, SymlinkTargetsOfAnyLength) {
  for (const size_t size :
       {size_t{1}, size_t{255}, size_t{256}, size_t{1023}, size_t{4000}, size_t{PATH_MAX - 1}}) {
    SCOPED_TRACE(size);
    std::string target(size, 't');
    for (size_t i = 128; i < size; i += 128) target[i] = '/';
    const std::string path = Path("link" + std::to_string(size));
    ASSERT_OK(symlink(target.c_str(), path.c_str()));
    EXPECT_EQ(ReadLink(path), target);
    EXPECT_EQ(Stat(path).st_size, static_cast<off_t>(size));
    EXPECT_TRUE(S_ISLNK(Stat(path).st_mode));
  }
  EXPECT_ERRNO(ENAMETOOLONG, symlink(std::string(PATH_MAX, 't').c_str(), Path("no").c_str()));
  EXPECT_ERRNO(ENOENT, symlink("", Path("no").c_str()));
}

TEST_F(Links, SymlinksAreFollowedOrNot) {
  WriteFile(Path("file"), "content");
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  ASSERT_OK(symlink("file", Path("l").c_str()));
  ASSERT_OK(symlink("d", Path("ld").c_str()));
  ASSERT_OK(symlink("loop2", Path("loop1").c_str()));
  ASSERT_OK(symlink("loop1", Path("loop2").c_str()));
  ASSERT_OK(symlink("none", Path("dangling").c_str()));
  EXPECT_EQ(ReadFile(Path("l")), "content");
  EXPECT_ERRNO(ELOOP, open(Path("l").c_str(), O_RDONLY | O_NOFOLLOW));
  EXPECT_ERRNO(ENOTDIR, open(Path("ld").c_str(), O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
  EXPECT_ERRNO(ELOOP, open(Path("loop1").c_str(), O_RDONLY));
  EXPECT_ERRNO(ENOENT, open(Path("dangling").c_str(), O_RDONLY));
  EXPECT_ERRNO(EEXIST, open(Path("dangling").c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644));
  EXPECT_ERRNO(EEXIST, mkdir(Path("dangling").c_str(), 0755));
  EXPECT_ERRNO(ENOTDIR, rmdir(Path("ld").c_str()));
  const UniqueFd made = Open(Path("dangling"), O_WRONLY | O_CREAT, 0644);
  EXPECT_TRUE(Exists(Path("none"))) << "O_CREAT follows a dangling symlink";

  const UniqueFd fd = Open(Path("l"), O_PATH | O_NOFOLLOW);
  EXPECT_TRUE(S_ISLNK(Stat(fd.get()).st_mode));
  char target[16] = {};
  EXPECT_EQ(readlinkat(fd.get(), "", target, sizeof(target)), 4);
}

TEST_F(Links, ASymlinkHasOwnerAndTimesOfItsOwn) {
  WriteFile(Path("file"), "content");
  ASSERT_OK(symlink("file", Path("l").c_str()));
  EXPECT_EQ(Mode(Path("l")), 0777U);
  ASSERT_OK(lchown(Path("l").c_str(), kAlice.uid, kAlice.gid));
  EXPECT_EQ(Stat(Path("l")).st_uid, kAlice.uid);
  EXPECT_EQ(Stat(Path("l")).st_gid, kAlice.gid);
  EXPECT_EQ(Stat(Path("file")).st_uid, 0U);
  const timespec times[2] = {{1'000'000'001, 123'456'789}, {1'000'000'002, 987'654'321}};
  ASSERT_OK(utimensat(AT_FDCWD, Path("l").c_str(), times, AT_SYMLINK_NOFOLLOW));
  EXPECT_EQ(Mtime(Stat(Path("l"))), 1'000'000'002'987'654'321);
  EXPECT_NE(Mtime(Stat(Path("file"))), 1'000'000'002'987'654'321);
  EXPECT_TRUE(AsUser(kBob, [&] {
    EXPECT_ERRNO(EPERM, lchown(Path("l").c_str(), kBob.uid, kBob.gid));
    ASSERT_OK(symlink("x", Path("mine").c_str()));
    EXPECT_EQ(Stat(Path("mine")).st_uid, kBob.uid);
  }));
}

TEST_F(Links, ProcNamesOpenFiles) {
  WriteFile(Path("file"), "content");
  const UniqueFd fd = Open(Path("file"), O_RDONLY);
  const std::string proc = "/proc/self/fd/" + std::to_string(fd.get());
  EXPECT_EQ(ReadLink(proc), Path("file"));
  ASSERT_OK(rename(Path("file").c_str(), Path("moved").c_str()));
  EXPECT_EQ(ReadLink(proc), Path("moved"));
  EXPECT_EQ(ReadFile(proc), "content");
  ASSERT_OK(unlink(Path("moved").c_str()));
  EXPECT_EQ(ReadLink(proc), Path("moved") + " (deleted)");
  EXPECT_EQ(ReadFile(proc), "content") << "an open file can be opened anew without a name";
  const UniqueFd again = Open(proc, O_RDWR);
  WriteAt(again.get(), 0, "CON");
  EXPECT_EQ(ReadAt(fd.get(), 0, 7), "CONtent");
}

}  // namespace
}  // namespace ckptfs::testing
