// Locks, leases, and the events of inotify.
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>

#include <cstring>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class Locks : public PosixTest {
 protected:
  void SetUp() override {
    PosixTest::SetUp();
    WriteFile(Path("file"), std::string(100, 'x'));
  }
  std::string file() const { return Path("file"); }
};

int Lock(int fd, int command, short type, off_t start, off_t length) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = length;
  return fcntl(fd, command, &lock);
}

TEST_F(Locks, FlockBelongsToTheOpenFile) {
  UniqueFd first = Open(file(), O_RDONLY);
  const UniqueFd second = Open(file(), O_RDONLY);
  ASSERT_OK(flock(first.get(), LOCK_EX | LOCK_NB));
  EXPECT_ERRNO(EAGAIN, flock(second.get(), LOCK_SH | LOCK_NB));
  UniqueFd copy(fcntl(first.get(), F_DUPFD_CLOEXEC, 0));
  EXPECT_OK(flock(copy.get(), LOCK_EX | LOCK_NB));
  first.Reset();
  EXPECT_TRUE(InChild([&] {
    const UniqueFd third = Open(file(), O_RDONLY);
    EXPECT_ERRNO(EAGAIN, flock(third.get(), LOCK_EX | LOCK_NB));
  }));
  ASSERT_OK(flock(copy.get(), LOCK_SH | LOCK_NB));
  EXPECT_OK(flock(second.get(), LOCK_SH | LOCK_NB));
  copy.Reset();
  EXPECT_OK(flock(second.get(), LOCK_EX | LOCK_NB)) << "the last descriptor took its lock along";
}

TEST_F(Locks, FlockOfADirectory) {
  const UniqueFd first = Open(dir(), O_RDONLY | O_DIRECTORY);
  const UniqueFd second = Open(dir(), O_RDONLY | O_DIRECTORY);
  EXPECT_OK(flock(first.get(), LOCK_EX | LOCK_NB));
  EXPECT_ERRNO(EAGAIN, flock(second.get(), LOCK_EX | LOCK_NB));
}

TEST_F(Locks, FlockWaits) {
  const UniqueFd fd = Open(file(), O_RDONLY);
  ASSERT_OK(flock(fd.get(), LOCK_EX));
  Signal about_to_wait;
  Child child([&] {
    const UniqueFd mine = Open(file(), O_RDWR);
    about_to_wait.Send();
    ASSERT_OK(flock(mine.get(), LOCK_EX));
    EXPECT_EQ(ReadAt(mine.get(), 0, 5), "first");
  });
  about_to_wait.Await();
  usleep(20'000);
  WriteFile(file(), "first");
  ASSERT_OK(flock(fd.get(), LOCK_UN));
  EXPECT_TRUE(child.Succeeded());
}

TEST_F(Locks, RecordLocksBelongToTheProcess) {
  const UniqueFd fd = Open(file(), O_RDWR);
  ASSERT_OK(Lock(fd.get(), F_SETLK, F_WRLCK, 10, 10));
  EXPECT_OK(Lock(fd.get(), F_SETLK, F_WRLCK, 0, 0)) << "never in one's own way";
  ASSERT_OK(Lock(fd.get(), F_SETLK, F_UNLCK, 0, 0));
  ASSERT_OK(Lock(fd.get(), F_SETLK, F_WRLCK, 10, 10));
  EXPECT_TRUE(InChild([&] {
    const UniqueFd mine = Open(file(), O_RDWR);
    EXPECT_ERRNO(EAGAIN, Lock(mine.get(), F_SETLK, F_RDLCK, 15, 1));
    EXPECT_OK(Lock(mine.get(), F_SETLK, F_WRLCK, 20, 10));
    EXPECT_OK(Lock(mine.get(), F_SETLK, F_WRLCK, 0, 10));
    struct flock asked {};
    asked.l_type = F_WRLCK;
    asked.l_whence = SEEK_SET;
    EXPECT_OK(fcntl(mine.get(), F_GETLK, &asked));
    EXPECT_EQ(asked.l_pid, getppid());
    EXPECT_EQ(asked.l_start, 10);
    EXPECT_EQ(asked.l_len, 10);
  }));
  // Any descriptor of the file that the process closes drops them: odd, and so by POSIX.
  Open(file(), O_RDONLY);
  EXPECT_TRUE(InChild([&] {
    const UniqueFd mine = Open(file(), O_RDWR);
    EXPECT_OK(Lock(mine.get(), F_SETLK, F_WRLCK, 0, 0));
  }));
}

TEST_F(Locks, ADeadlockIsSeen) {
  const UniqueFd fd = Open(file(), O_RDWR);
  Signal locked;
  ASSERT_OK(Lock(fd.get(), F_SETLK, F_WRLCK, 0, 1));
  Child child([&] {
    const UniqueFd mine = Open(file(), O_RDWR);
    ASSERT_OK(Lock(mine.get(), F_SETLK, F_WRLCK, 1, 1));
    locked.Send();
    EXPECT_OK(Lock(mine.get(), F_SETLKW, F_WRLCK, 0, 1));
  });
  locked.Await();
  usleep(50'000);
  EXPECT_ERRNO(EDEADLK, Lock(fd.get(), F_SETLKW, F_WRLCK, 1, 1));
  ASSERT_OK(Lock(fd.get(), F_SETLK, F_UNLCK, 0, 0));
  EXPECT_TRUE(child.Succeeded());
}

TEST_F(Locks, OpenFileDescriptionLocks) {
  UniqueFd first = Open(file(), O_RDWR);
  const UniqueFd second = Open(file(), O_RDWR);
  ASSERT_OK(Lock(first.get(), F_OFD_SETLK, F_WRLCK, 0, 50));
  EXPECT_ERRNO(EAGAIN, Lock(second.get(), F_OFD_SETLK, F_WRLCK, 40, 20));
  EXPECT_OK(Lock(second.get(), F_OFD_SETLK, F_WRLCK, 50, 20));
  Open(file(), O_RDONLY);  // drops nothing
  EXPECT_ERRNO(EAGAIN, Lock(second.get(), F_OFD_SETLK, F_RDLCK, 0, 1));
  first.Reset();
  EXPECT_OK(Lock(second.get(), F_OFD_SETLK, F_WRLCK, 0, 0));
}

class Events : public PosixTest {
 protected:
  const UniqueFd inotify_{inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};

  void Watch(const std::string& path) const {
    ASSERT_OK(inotify_add_watch(inotify_.get(), path.c_str(), IN_ALL_EVENTS));
  }
  // All that has happened by now, as "create f", ...
  std::vector<std::string> Take() const {
    std::vector<std::string> events;
    alignas(inotify_event) char buffer[65536];
    const ssize_t size = read(inotify_.get(), buffer, sizeof(buffer));
    for (ssize_t at = 0; at < size;) {
      inotify_event event{};
      std::memcpy(&event, buffer + at, sizeof(event));
      const char* name = event.len != 0 ? buffer + at + sizeof(event) : "";
      at += static_cast<ssize_t>(sizeof(event) + event.len);
      events.push_back(NameOf(event.mask) + " " + name);
    }
    return events;
  }

 private:
  static std::string NameOf(uint32_t mask) {
    switch (mask & IN_ALL_EVENTS) {
      case IN_ACCESS:
        return "access";
      case IN_MODIFY:
        return "modify";
      case IN_ATTRIB:
        return "attrib";
      case IN_CLOSE_WRITE:
        return "close_write";
      case IN_CLOSE_NOWRITE:
        return "close_nowrite";
      case IN_OPEN:
        return "open";
      case IN_MOVED_FROM:
        return "moved_from";
      case IN_MOVED_TO:
        return "moved_to";
      case IN_CREATE:
        return "create";
      case IN_DELETE:
        return "delete";
      case IN_DELETE_SELF:
        return "delete_self";
      case IN_MOVE_SELF:
        return "move_self";
      default:
        return "ignored";
    }
  }
};

TEST_F(Events, OfADirectory) {
  Watch(dir());
  WriteFile(Path("f"), "x");
  EXPECT_THAT(Take(), ::testing::ElementsAre("create f", "open f", "modify f", "close_write f"));
  ASSERT_OK(rename(Path("f").c_str(), Path("g").c_str()));
  EXPECT_THAT(Take(), ::testing::ElementsAre("moved_from f", "moved_to g"));
  Chmod(Path("g"), 0600);
  EXPECT_THAT(Take(), ::testing::ElementsAre("attrib g"));
  ASSERT_OK(truncate(Path("g").c_str(), 0));
  EXPECT_THAT(Take(), ::testing::ElementsAre("modify g"));
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  ASSERT_OK(rmdir(Path("d").c_str()));
  EXPECT_THAT(Take(), ::testing::ElementsAre("create d", "delete d"));
  ASSERT_OK(unlink(Path("g").c_str()));
  EXPECT_THAT(Take(), ::testing::Contains("delete g"));
}

TEST_F(Events, OfAFileThatIsReadAndDeleted) {
  WriteFile(Path("f"), "content");
  Watch(Path("f"));
  EXPECT_EQ(ReadFile(Path("f")), "content");
  EXPECT_THAT(Take(), ::testing::ElementsAre("open ", "access ", "close_nowrite "));
  ASSERT_OK(unlink(Path("f").c_str()));
  EXPECT_THAT(Take(), ::testing::Contains("delete_self "));
}

}  // namespace
}  // namespace ckptfs::testing
