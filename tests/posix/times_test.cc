// Timestamps.
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/time.h>

#include <cstring>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

using ::testing::EndsWith;  // mmap(2) itself counts as an access

class Times : public PosixTest {
 protected:
  void SetUp() override {
    PosixTest::SetUp();
    WriteFile(Path("file"), "some content");
    ASSERT_OK(mkdir(Path("d").c_str(), 0777));
    Chmod(Path("d"), 0777);
  }
  std::string file() const { return Path("file"); }
};

// Which of "amc" (access, modification, status) an action makes newer.
std::string Changed(const std::string& path, const std::function<void()>& act) {
  const struct stat before = Stat(path);
  LetTheClockTick();
  act();
  const struct stat after = Stat(path);
  std::string changed;
  if (Atime(after) > Atime(before)) changed += 'a';
  if (Mtime(after) > Mtime(before)) changed += 'm';
  if (Ctime(after) > Ctime(before)) changed += 'c';
  return changed;
}

TEST_F(Times, WhatChangesWhich) {
  const UniqueFd fd = Open(file(), O_RDWR);
  const auto changed = [&](const std::function<void()>& act) { return Changed(file(), act); };
  EXPECT_EQ(changed([&] { WriteAt(fd.get(), 0, "x"); }), "mc");
  EXPECT_EQ(changed([&] { WriteAt(fd.get(), 100, "x"); }), "mc");
  EXPECT_EQ(changed([&] { EXPECT_EQ(pwrite(fd.get(), "", 0, 0), 0); }), "") << "nothing written";
  EXPECT_EQ(changed([&] { EXPECT_OK(ftruncate(fd.get(), 50)); }), "mc");
  EXPECT_EQ(changed([&] { EXPECT_OK(fallocate(fd.get(), 0, 0, 9000)); }), "mc");
  EXPECT_EQ(changed([&] {
              EXPECT_OK(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
            }),
            "mc");
  EXPECT_EQ(changed([&] { EXPECT_OK(fchmod(fd.get(), 0640)); }), "c");
  EXPECT_EQ(changed([&] { EXPECT_OK(fchown(fd.get(), kAlice.uid, kAlice.gid)); }), "c");
  EXPECT_EQ(changed([&] { EXPECT_OK(link(file().c_str(), Path("link").c_str())); }), "c");
  EXPECT_EQ(changed([&] { EXPECT_OK(unlink(Path("link").c_str())); }), "c");
  EXPECT_EQ(changed([&] {
              EXPECT_OK(rename(file().c_str(), Path("x").c_str()));
              EXPECT_OK(rename(Path("x").c_str(), file().c_str()));
            }),
            "c");
  EXPECT_EQ(changed([&] { Stat(file()); }), "");
}

TEST_F(Times, OfADirectory) {
  const auto changed = [&](const std::function<void()>& act) { return Changed(Path("d"), act); };
  EXPECT_EQ(changed([&] { WriteFile(Path("d/f"), "x"); }), "mc");
  EXPECT_EQ(changed([&] { WriteFile(Path("d/f"), "y"); }), "") << "the file changed, not its name";
  EXPECT_EQ(changed([&] { EXPECT_OK(link(file().c_str(), Path("d/l").c_str())); }), "mc");
  EXPECT_EQ(changed([&] { EXPECT_OK(symlink("x", Path("d/s").c_str())); }), "mc");
  EXPECT_EQ(changed([&] { EXPECT_OK(mkdir(Path("d/d").c_str(), 0755)); }), "mc");
  EXPECT_EQ(changed([&] { EXPECT_OK(mkfifo(Path("d/p").c_str(), 0644)); }), "mc");
  EXPECT_EQ(changed([&] { EXPECT_OK(rename(Path("d/f").c_str(), Path("d/g").c_str())); }), "mc");
  EXPECT_EQ(changed([&] { EXPECT_OK(unlink(Path("d/g").c_str())); }), "mc");
  EXPECT_EQ(changed([&] { EXPECT_OK(rmdir(Path("d/d").c_str())); }), "mc");
  EXPECT_EQ(changed([&] { EXPECT_OK(chmod(Path("d").c_str(), 0755)); }), "c");
  EXPECT_EQ(changed([&] { Open(Path("d"), O_TMPFILE | O_RDWR); }), "");
}

TEST_F(Times, SetToTheNanosecond) {
  const timespec times[2] = {{1'234'567'890, 123'456'789}, {987'654'321, 1}};
  EXPECT_EQ(Changed(file(), [&] { EXPECT_OK(utimensat(AT_FDCWD, file().c_str(), times, 0)); }),
            "c");
  EXPECT_EQ(Atime(Stat(file())), 1'234'567'890'123'456'789);
  EXPECT_EQ(Mtime(Stat(file())), 987'654'321'000'000'001);
  // Before 1970 and after 2038.
  const timespec far[2] = {{-1, 999'999'999}, {8'589'934'592, 5}};
  EXPECT_OK(utimensat(AT_FDCWD, file().c_str(), far, 0));
  EXPECT_EQ(Stat(file()).st_atim.tv_sec, -1);
  EXPECT_EQ(Stat(file()).st_atim.tv_nsec, 999'999'999);
  EXPECT_EQ(Stat(file()).st_mtim.tv_sec, 8'589'934'592);
  const timespec invalid[2] = {{0, 1'000'000'000}, {0, 0}};
  EXPECT_ERRNO(EINVAL, utimensat(AT_FDCWD, file().c_str(), invalid, 0));
}

TEST_F(Times, NowAndOmit) {
  const timespec old[2] = {{1000, 1}, {2000, 2}};
  const auto set = [&](long atime, long mtime) {
    EXPECT_OK(utimensat(AT_FDCWD, file().c_str(), old, 0));
    const timespec times[2] = {{0, atime}, {0, mtime}};
    EXPECT_OK(utimensat(AT_FDCWD, file().c_str(), times, 0));
    return Stat(file());
  };
  EXPECT_EQ(set(UTIME_OMIT, UTIME_NOW).st_atim.tv_sec, 1000);
  EXPECT_GT(Stat(file()).st_mtim.tv_sec, 1'000'000);
  EXPECT_EQ(set(UTIME_NOW, UTIME_OMIT).st_mtim.tv_sec, 2000);
  EXPECT_GT(Stat(file()).st_atim.tv_sec, 1'000'000);
  const struct stat neither = set(UTIME_OMIT, UTIME_OMIT);
  EXPECT_EQ(neither.st_atim.tv_sec, 1000);
  EXPECT_EQ(neither.st_mtim.tv_sec, 2000);
  EXPECT_OK(utimensat(AT_FDCWD, file().c_str(), nullptr, 0));
  EXPECT_GT(Stat(file()).st_mtim.tv_sec, 1'000'000);
  EXPECT_EQ(Atime(Stat(file())), Mtime(Stat(file())));
}

TEST_F(Times, WhoMaySetThem) {
  Chown(file(), kAlice.uid, kAlice.gid);
  Chmod(file(), 0666);
  const timespec times[2] = {{1000, 1}, {2000, 2}};
  EXPECT_TRUE(AsUser(kBob, [&] {
    EXPECT_ERRNO(EPERM, utimensat(AT_FDCWD, file().c_str(), times, 0));
    EXPECT_OK(utimensat(AT_FDCWD, file().c_str(), nullptr, 0)) << "now: with write permission";
  }));
  Chmod(file(), 0644);
  EXPECT_TRUE(
      AsUser(kBob, [&] { EXPECT_ERRNO(EACCES, utimensat(AT_FDCWD, file().c_str(), nullptr, 0)); }));
  EXPECT_TRUE(AsUser(kAlice, [&] { EXPECT_OK(utimensat(AT_FDCWD, file().c_str(), times, 0)); }));
}

TEST_F(Times, ReadingChangesAnOldAccessTime) {
  // relatime: an access time is brought up to date if it is not newer than the last change.
  const timespec old[2] = {{1000, 0}, {2000, 0}};
  ASSERT_OK(utimensat(AT_FDCWD, file().c_str(), old, 0));
  LetTheClockTick();
  EXPECT_EQ(ReadFile(file()), "some content");
  const int64_t read = Atime(Stat(file()));
  EXPECT_GT(read, int64_t{1'000'000} * 1'000'000'000);
  EXPECT_EQ(Mtime(Stat(file())), int64_t{2000} * 1'000'000'000) << "only that";
  LetTheClockTick();
  ReadFile(file());
  EXPECT_EQ(Atime(Stat(file())), read) << "once is enough for a day";
}

TEST_F(Times, AStoreThroughAMappingIsAChange) {
  // As make would: look, let a program change the file by a mapping only, look again.
  const auto store = [&](bool sync) {
    const UniqueFd fd = Open(file(), O_RDWR);
    void* at = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(at, MAP_FAILED);
    static_cast<char*>(at)[0] ^= 1;
    if (sync) {
      EXPECT_OK(msync(at, 4096, MS_SYNC));
    }
    EXPECT_OK(munmap(at, 4096));
  };
  EXPECT_THAT(Changed(file(), [&] { store(true); }), EndsWith("mc"));
  EXPECT_THAT(Changed(file(), [&] { store(false); }), EndsWith("mc"));
  EXPECT_THAT(Changed(file(), [&] { EXPECT_TRUE(InChild([&] { store(false); })); }),
              EndsWith("mc"));
}

TEST_F(Times, AStoreShowsWhileTheFileIsOpen) {
  if (ThroughDaemon()) GTEST_SKIP() << "the daemon hears of stores when they are written out";
  const UniqueFd fd = Open(file(), O_RDWR);
  void* at = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(at, MAP_FAILED);
  EXPECT_EQ(Changed(file(), [&] { static_cast<char*>(at)[0] = 'a'; }), "mc");
  // The page is dirty now: only after it was written out does the next store count as a change.
  ASSERT_OK(msync(at, 4096, MS_SYNC));
  EXPECT_EQ(Changed(file(), [&] { static_cast<char*>(at)[0] = 'b'; }), "mc");
  ASSERT_OK(munmap(at, 4096));
}

TEST_F(Times, AStoreAfterTheDescriptorIsClosed) {
  if (ThroughDaemon()) GTEST_SKIP() << "the daemon hears of stores when they are written out";
  UniqueFd fd = Open(file(), O_RDWR);
  void* at = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(at, MAP_FAILED);
  fd.Reset();
  EXPECT_EQ(Changed(file(), [&] { static_cast<char*>(at)[0] = 'a'; }), "mc");
  ASSERT_OK(munmap(at, 4096));
}

TEST_F(Times, ADescriptorOfAnotherProcessSeesTheStore) {
  const UniqueFd reader = Open(file(), O_RDONLY);
  const struct stat before = Stat(reader.get());
  LetTheClockTick();
  EXPECT_TRUE(InChild([&] {
    const UniqueFd fd = Open(file(), O_RDWR);
    void* at = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(at, MAP_FAILED);
    std::memset(at, 'z', 5);
    _exit(0);  // nobody unmaps, nobody closes
  }));
  EXPECT_GT(Mtime(Stat(reader.get())), Mtime(before));
  EXPECT_EQ(ReadAt(reader.get(), 0, 5), "zzzzz");
}

TEST_F(Times, OfBirth) {
  const auto birth = [](const std::string& path) {
    struct statx status {};
    EXPECT_OK(statx(AT_FDCWD, path.c_str(), 0, STATX_BASIC_STATS | STATX_BTIME, &status));
    EXPECT_NE(status.stx_mask & STATX_BTIME, 0U);
    return int64_t{status.stx_btime.tv_sec} * 1'000'000'000 + status.stx_btime.tv_nsec;
  };
  timespec before{};
  clock_gettime(CLOCK_REALTIME_COARSE, &before);
  WriteFile(Path("new"), "x");
  const int64_t born = birth(Path("new"));
  EXPECT_GE(born, Nanoseconds(before));
  EXPECT_LE(born, Mtime(Stat(Path("new"))));
  LetTheClockTick();
  WriteFile(Path("new"), "y");
  EXPECT_OK(utimensat(AT_FDCWD, Path("new").c_str(), nullptr, 0));
  EXPECT_EQ(birth(Path("new")), born);
  EXPECT_GT(birth(Path("d")), 0);
}

TEST_F(Times, SizeAndTimesSetTogetherArriveTogether) {
  // What tar and rsync do: write, then set the times while the file is still open.
  const UniqueFd fd = Open(Path("copied"), O_CREAT | O_WRONLY);
  WriteAt(fd.get(), 0, "content");
  const timespec times[2] = {{1000, 1}, {2000, 2}};
  ASSERT_OK(futimens(fd.get(), times));
  EXPECT_EQ(Mtime(Stat(Path("copied"))), 2'000'000'000'002);
  EXPECT_EQ(Stat(Path("copied")).st_size, 7);
  ASSERT_OK(close(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)));
  EXPECT_EQ(Mtime(Stat(fd.get())), 2'000'000'000'002);
}

TEST_F(Times, SetTimesStayAfterTheLastClose) {
  {
    const UniqueFd fd = Open(Path("copied"), O_CREAT | O_WRONLY);
    WriteAt(fd.get(), 0, std::string(100'000, 'x'));
    const timespec times[2] = {{1000, 1}, {2000, 2}};
    ASSERT_OK(futimens(fd.get(), times));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Mtime(Stat(Path("copied"))), 2'000'000'000'002);
    usleep(1000);
  }
}

}  // namespace
}  // namespace ckptfs::testing
