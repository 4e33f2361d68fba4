// open(2): its flags, who may, and what a new file is like.
#include <fmt/format.h>
#include <sys/resource.h>

#include <csignal>
#include <set>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class OpenFlags : public PosixTest {};

TEST_F(OpenFlags, Errors) {
  WriteFile(Path("file"), "");
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  EXPECT_ERRNO(ENOENT, open(Path("none").c_str(), O_RDONLY));
  EXPECT_ERRNO(EISDIR, open(Path("d").c_str(), O_RDWR));
  EXPECT_ERRNO(EISDIR, open(Path("d").c_str(), O_CREAT | O_RDONLY, 0644));
  EXPECT_ERRNO(ENOTDIR, open(Path("file").c_str(), O_RDONLY | O_DIRECTORY));
  EXPECT_ERRNO(ENOTDIR, open((Path("file") + "/").c_str(), O_RDONLY));
  EXPECT_ERRNO(EEXIST, open(Path("file").c_str(), O_CREAT | O_EXCL | O_RDWR, 0644));
  EXPECT_ERRNO(EEXIST, open(Path("d").c_str(), O_CREAT | O_EXCL | O_RDWR, 0644));
}

TEST_F(OpenFlags, OnlyOneOfManyCreatesExclusively) {
  constexpr int kOpeners = 6;
  constexpr int kFiles = 100;
  std::vector<std::unique_ptr<Child>> children;
  children.reserve(kOpeners);
  for (int process = 0; process < kOpeners; ++process) {
    children.push_back(std::make_unique<Child>([&, process] {
      for (int i = 0; i < kFiles; ++i) {
        const UniqueFd fd(open(Path(std::to_string(i)).c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644));
        if (!fd.valid()) {
          EXPECT_EQ(errno, EEXIST);
          continue;
        }
        WriteFile(Path("won " + std::to_string(process) + " " + std::to_string(i)), "");
      }
    }));
  }
  for (const auto& child : children) EXPECT_TRUE(child->Succeeded());
  EXPECT_EQ(List(dir()).size(), 2 * kFiles) << "each file was won once";
}

TEST_F(OpenFlags, AppendersLoseNoLine) {
  constexpr int kOpeners = 6;
  constexpr int kLines = 400;
  std::vector<std::unique_ptr<Child>> children;
  children.reserve(kOpeners);
  for (int process = 0; process < kOpeners; ++process) {
    children.push_back(std::make_unique<Child>([&, process] {
      const UniqueFd fd = Open(Path("log"), O_WRONLY | O_CREAT | O_APPEND);
      for (int i = 0; i < kLines; ++i) {
        const std::string line = fmt::format("{:07} {:07}\n", process, i);
        ASSERT_EQ(write(fd.get(), line.data(), line.size()), 16);
      }
    }));
  }
  for (const auto& child : children) EXPECT_TRUE(child->Succeeded());
  const std::string log = ReadFile(Path("log"));
  std::set<std::string> lines;
  for (size_t at = 0; at + 16 <= log.size(); at += 16) lines.insert(log.substr(at, 16));
  EXPECT_EQ(log.size(), 16U * kOpeners * kLines);
  EXPECT_EQ(lines.size(), size_t{kOpeners} * kLines);
  // fcntl(2) can turn it on later, and pwrite(2) appends too, which is Linux's own way.
  const UniqueFd fd = Open(Path("log"), O_WRONLY);
  EXPECT_OK(fcntl(fd.get(), F_SETFL, O_APPEND));
  EXPECT_EQ(pwrite(fd.get(), "end", 3, 0), 3);
  EXPECT_EQ(Stat(fd.get()).st_size, static_cast<off_t>(log.size() + 3));
}

TEST_F(OpenFlags, Truncate) {
  WriteFile(Path("file"), "a long text");
  const struct stat before = Stat(Path("file"));
  LetTheClockTick();
  const UniqueFd reader = Open(Path("file"), O_RDONLY);
  const UniqueFd fd = Open(Path("file"), O_WRONLY | O_TRUNC);
  const struct stat after = Stat(fd.get());
  EXPECT_EQ(after.st_size, 0);
  EXPECT_GT(Mtime(after), Mtime(before));
  EXPECT_GT(Ctime(after), Ctime(before));
  EXPECT_EQ(ReadAt(reader.get(), 0, 100), "");
  Chmod(Path("file"), 0444);
  EXPECT_TRUE(AsUser(kAlice, [&] {
    EXPECT_ERRNO(EACCES, open(Path("file").c_str(), O_RDONLY | O_TRUNC));
    EXPECT_ERRNO(EACCES, truncate(Path("file").c_str(), 3));
  }));
}

TEST_F(OpenFlags, TruncateOfAnEmptyFileIsAChangeToo) {
  WriteFile(Path("file"), "");
  const struct stat before = Stat(Path("file"));
  LetTheClockTick();
  { const UniqueFd fd = Open(Path("file"), O_WRONLY | O_TRUNC); }
  EXPECT_GT(Mtime(Stat(Path("file"))), Mtime(before));
  const struct stat then = Stat(Path("file"));
  LetTheClockTick();
  ASSERT_OK(truncate(Path("file").c_str(), 0));
  EXPECT_EQ(Mtime(Stat(Path("file"))), Mtime(then)) << "truncate(2) to the same size is none";
}

TEST_F(OpenFlags, UnnamedFiles) {
  const UniqueFd fd = Open(dir(), O_TMPFILE | O_RDWR, 0640);
  EXPECT_EQ(Stat(fd.get()).st_nlink, 0U);
  EXPECT_EQ(Stat(fd.get()).st_mode & 07777, 0640U);
  EXPECT_TRUE(List(dir()).empty());
  WriteAt(fd.get(), 0, "unnamed");
  EXPECT_EQ(ReadAt(fd.get(), 0, 10), "unnamed");
  EXPECT_EQ(Stat(fd.get()).st_size, 7);
  EXPECT_OK(ftruncate(fd.get(), 5));
  EXPECT_OK(fchmod(fd.get(), 0600));
  const std::string proc = "/proc/self/fd/" + std::to_string(fd.get());
  ASSERT_OK(linkat(AT_FDCWD, proc.c_str(), AT_FDCWD, Path("named").c_str(), AT_SYMLINK_FOLLOW));
  EXPECT_EQ(Stat(fd.get()).st_nlink, 1U);
  EXPECT_EQ(Stat(Path("named")).st_ino, Stat(fd.get()).st_ino);
  EXPECT_EQ(ReadFile(Path("named")), "unnam");
  EXPECT_EQ(Mode(Path("named")), 0600U);

  const UniqueFd by_descriptor = Open(dir(), O_TMPFILE | O_WRONLY, 0600);
  WriteAt(by_descriptor.get(), 0, "x");
  EXPECT_OK(linkat(by_descriptor.get(), "", AT_FDCWD, Path("second").c_str(), AT_EMPTY_PATH));
  EXPECT_EQ(ReadFile(Path("second")), "x");

  const UniqueFd never = Open(dir(), O_TMPFILE | O_RDWR | O_EXCL, 0600);
  EXPECT_ERRNO(ENOENT, linkat(never.get(), "", AT_FDCWD, Path("third").c_str(), AT_EMPTY_PATH));
  EXPECT_ERRNO(EINVAL, open(dir().c_str(), O_TMPFILE | O_RDONLY, 0600));
  EXPECT_TRUE(AsUser(kAlice, [&] {
    const UniqueFd mine = Open(dir(), O_TMPFILE | O_RDWR, 0666);
    EXPECT_EQ(Stat(mine.get()).st_uid, kAlice.uid);
    EXPECT_EQ(Stat(mine.get()).st_mode & 07777, 0644U);
  }));
  Chmod(dir(), 0755);
  EXPECT_TRUE(
      AsUser(kAlice, [&] { EXPECT_ERRNO(EACCES, open(dir().c_str(), O_TMPFILE | O_RDWR, 0666)); }));
}

TEST_F(OpenFlags, PathDescriptorsNeedNoPermission) {
  WriteFile(Path("secret"), "x", 0600);
  EXPECT_TRUE(AsUser(kAlice, [&] {
    EXPECT_ERRNO(EACCES, open(Path("secret").c_str(), O_RDONLY));
    const UniqueFd fd = Open(Path("secret"), O_PATH);
    EXPECT_EQ(Stat(fd.get()).st_size, 1);
    char byte = 0;
    EXPECT_ERRNO(EBADF, read(fd.get(), &byte, 1));
    EXPECT_ERRNO(EBADF, fchmod(fd.get(), 0666));
    const std::string proc = "/proc/self/fd/" + std::to_string(fd.get());
    EXPECT_ERRNO(EACCES, open(proc.c_str(), O_RDONLY));
  }));
}

TEST_F(OpenFlags, NoAtimeIsForTheOwner) {
  if (ThroughDaemon()) GTEST_SKIP() << "all who read share one descriptor of the daemon's";
  WriteFile(Path("file"), "x", 0666);
  Chmod(Path("file"), 0666);
  EXPECT_TRUE(AsUser(
      kAlice, [&] { EXPECT_ERRNO(EPERM, open(Path("file").c_str(), O_RDONLY | O_NOATIME)); }));
  const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'001, 0}};
  ASSERT_OK(utimensat(AT_FDCWD, Path("file").c_str(), old, 0));
  const UniqueFd fd = Open(Path("file"), O_RDONLY | O_NOATIME);
  EXPECT_EQ(ReadAt(fd.get(), 0, 1), "x");
  EXPECT_EQ(Atime(Stat(Path("file"))), 1'000'000'000'000'000'000);
}

TEST_F(OpenFlags, SynchronousWritesAndSyncs) {
  for (const int flag : {O_SYNC, O_DSYNC}) {
    const UniqueFd fd = Open(Path("file"), O_RDWR | O_CREAT | flag);
    WriteAt(fd.get(), 0, "durable");
    EXPECT_EQ(ReadAt(fd.get(), 0, 7), "durable");
  }
  const UniqueFd fd = Open(Path("file"), O_RDWR);
  EXPECT_OK(fsync(fd.get()));
  EXPECT_OK(fdatasync(fd.get()));
  EXPECT_OK(syncfs(fd.get()));
  EXPECT_OK(sync_file_range(fd.get(), 0, 7, SYNC_FILE_RANGE_WRITE));
  const UniqueFd read_only = Open(Path("file"), O_RDONLY);
  EXPECT_OK(fsync(read_only.get()));
  const UniqueFd directory = Open(dir(), O_RDONLY | O_DIRECTORY);
  EXPECT_OK(fsync(directory.get()));
  EXPECT_OK(fdatasync(directory.get()));
  EXPECT_OK(syncfs(directory.get()));
}

TEST_F(OpenFlags, NewFilesBelongToWhoMadeThem) {
  EXPECT_TRUE(AsUser({.uid = kAlice.uid, .gid = kAlice.gid, .groups = {kTeam}}, [&] {
    umask(027);
    const UniqueFd fd = Open(Path("file"), O_CREAT | O_WRONLY, 0666);
    EXPECT_OK(mkdir(Path("d").c_str(), 0777));
    EXPECT_OK(mkfifo(Path("p").c_str(), 0666));
  }));
  for (const char* name : {"file", "d", "p"}) {
    SCOPED_TRACE(name);
    const struct stat status = Stat(Path(name));
    EXPECT_EQ(status.st_uid, kAlice.uid);
    EXPECT_EQ(status.st_gid, kAlice.gid);
    EXPECT_EQ(status.st_mode & 0777, S_ISDIR(status.st_mode) ? 0750U : 0640U);
  }
}

TEST_F(OpenFlags, AFileMayBeCreatedWithAModeThatForbidsItself) {
  EXPECT_TRUE(AsUser(kAlice, [&] {
    const UniqueFd fd = Open(Path("file"), O_CREAT | O_RDWR, 0);
    WriteAt(fd.get(), 0, "written all the same");
    EXPECT_EQ(ReadAt(fd.get(), 0, 7), "written");
    EXPECT_ERRNO(EACCES, open(Path("file").c_str(), O_RDONLY));
    EXPECT_ERRNO(EACCES, open(Path("file").c_str(), O_CREAT | O_WRONLY, 0644));
  }));
}

TEST_F(OpenFlags, AccessAsOthers) {
  WriteFile(Path("file"), "");
  Chown(Path("file"), kAlice.uid, kTeam);
  Chmod(Path("file"), 0640);
  ASSERT_OK(mkdir(Path("d").c_str(), 0700));
  WriteFile(Path("d/in"), "");
  const User member{.uid = kBob.uid, .gid = kBob.gid, .groups = {kTeam}};
  EXPECT_TRUE(AsUser(kAlice, [&] {
    EXPECT_OK(access(Path("file").c_str(), R_OK | W_OK));
    EXPECT_ERRNO(EACCES, access(Path("file").c_str(), X_OK));
    EXPECT_ERRNO(EACCES, access(Path("d/in").c_str(), F_OK));
  }));
  EXPECT_TRUE(AsUser(member, [&] {
    EXPECT_OK(access(Path("file").c_str(), R_OK));
    EXPECT_ERRNO(EACCES, access(Path("file").c_str(), W_OK));
    const UniqueFd fd = Open(Path("file"), O_RDONLY);
  }));
  EXPECT_TRUE(AsUser(kBob, [&] {
    EXPECT_ERRNO(EACCES, access(Path("file").c_str(), R_OK));
    EXPECT_ERRNO(EACCES, open(Path("file").c_str(), O_RDONLY));
  }));
  EXPECT_ERRNO(EACCES, access(Path("file").c_str(), X_OK)) << "not even root runs what has no x";
  // access(2) asks for the real user, faccessat(AT_EACCESS) for the effective one.
  EXPECT_TRUE(InChild([&] {
    ASSERT_OK(setresuid(static_cast<uid_t>(-1), kBob.uid, 0));
    EXPECT_OK(access(Path("file").c_str(), R_OK));
    EXPECT_ERRNO(EACCES, faccessat(AT_FDCWD, Path("file").c_str(), R_OK, AT_EACCESS));
  }));
}

TEST_F(OpenFlags, PermissionsThatChangeCountAtOnce) {
  WriteFile(Path("file"), "x", 0644);
  for (int i = 0; i < 20; ++i) {
    Chmod(Path("file"), 0600);
    EXPECT_TRUE(
        AsUser(kAlice, [&] { EXPECT_ERRNO(EACCES, open(Path("file").c_str(), O_RDONLY)); }));
    Chmod(Path("file"), 0644);
    EXPECT_TRUE(AsUser(kAlice, [&] { EXPECT_OK(access(Path("file").c_str(), R_OK)); }));
  }
}

TEST_F(OpenFlags, ResourceLimitOnSize) {
  EXPECT_TRUE(InChild([&] {
    const rlimit limit{.rlim_cur = 8192, .rlim_max = 8192};
    ASSERT_OK(setrlimit(RLIMIT_FSIZE, &limit));
    signal(SIGXFSZ, SIG_IGN);
    const UniqueFd fd = Open(Path("file"), O_CREAT | O_RDWR);
    const std::string data(6000, 'x');
    EXPECT_EQ(write(fd.get(), data.data(), data.size()), 6000);
    EXPECT_EQ(write(fd.get(), data.data(), data.size()), 2192) << "up to the limit";
    EXPECT_ERRNO(EFBIG, write(fd.get(), data.data(), data.size()));
    EXPECT_ERRNO(EFBIG, ftruncate(fd.get(), 8193));
    EXPECT_ERRNO(EFBIG, fallocate(fd.get(), 0, 0, 9000));
    EXPECT_OK(ftruncate(fd.get(), 8192));
  }));
  Child killed([&] {
    const rlimit limit{.rlim_cur = 100, .rlim_max = 100};
    ASSERT_OK(setrlimit(RLIMIT_FSIZE, &limit));
    const UniqueFd fd = Open(Path("file"), O_RDWR);
    EXPECT_EQ(pwrite(fd.get(), "x", 1, 100), -1);
  });
  const int status = killed.WaitStatus();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ) << status;
}

}  // namespace
}  // namespace ckptfs::testing
