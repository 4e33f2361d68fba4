// What the tests of ordinary files share.
//
// The tests run in POSIX_TEST_DIR, an empty directory of the filesystem under test that is mounted
// with suid and dev. Nothing here knows what filesystem that is: every expectation must hold on
// native btrfs, and then has to hold on ckptfs. The few places where a daemon without passthrough makes
// a difference that it cannot undo ask ThroughDaemon() and say why.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/unique_fd.h"

namespace ckptfs::testing {

inline constexpr size_t kPage = 4096;  // bytes
inline constexpr off_t kBlock = 4096;  // of the filesystem

// The errno of a call as "EEXIST", or "OK" if it returned anything but -1. Takes the result of the
// call, so errno must still be the call's.
std::string ErrnoOf(long result);
inline constexpr char kOk[] = "OK";

#define EXPECT_OK(call) EXPECT_EQ(ErrnoOf(call), kOk)
#define ASSERT_OK(call) ASSERT_EQ(ErrnoOf(call), kOk)
#define EXPECT_ERRNO(error, call) EXPECT_EQ(ErrnoOf(call), #error)

// Users that own nothing but what a test gives them, and are in no group of the system.
struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
};
inline const User kAlice{.uid = 61001, .gid = 62001, .groups = {}};
inline const User kBob{.uid = 61002, .gid = 62002, .groups = {}};
inline constexpr gid_t kTeam = 62100;  // a group; a user is in it if the test says so

// Run `body` in a child, as this process or as another user. Return whether it came to its end
// without a failed expectation; the child's failures are printed.
[[nodiscard]] bool InChild(const std::function<void()>& body);
[[nodiscard]] bool AsUser(const User& user, const std::function<void()>& body);

// A child that runs beside the test; killed and reaped at the end of its life.
class Child {
 public:
  explicit Child(const std::function<void()>& body);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  pid_t pid() const { return pid_; }
  // Waits for the end; true if no expectation failed in it.
  [[nodiscard]] bool Succeeded();
  int WaitStatus();

 private:
  pid_t pid_ = -1;
};

// One way for one byte: lets one process wait for another.
class Signal {
 public:
  Signal();
  void Send() const;
  void Await() const;  // fails the test after 20 seconds

 private:
  UniqueFd read_, write_;
};

// Each test has a directory of its own, open to all, and removed afterwards.
class PosixTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  const std::string& dir() const { return dir_; }
  std::string Path(std::string_view name) const { return dir_ + "/" + std::string(name); }

 private:
  std::string dir_;
};

std::string TestRoot();  // POSIX_TEST_DIR
// Whether the daemon under test has no passthrough: POSIX_TEST_THROUGH_DAEMON is set.
bool ThroughDaemon();

// Each of these fails the test if it cannot do its work.
UniqueFd Open(const std::string& path, int flags, mode_t mode = 0644);
void WriteFile(const std::string& path, std::string_view content, mode_t mode = 0644);
std::string ReadFile(const std::string& path);
void WriteAt(int fd, off_t offset, std::string_view content);
std::string ReadAt(int fd, off_t offset, size_t size);
struct stat Stat(const std::string& path);  // lstat(2)
struct stat Stat(int fd);
std::vector<std::string> List(const std::string& path);  // sorted, without . and ..
mode_t Mode(const std::string& path);                    // the permission bits, 07777
void Chmod(const std::string& path, mode_t mode);        // exactly that, whatever the umask
void Chown(const std::string& path, uid_t uid, gid_t gid);
bool Exists(const std::string& path);

int64_t Nanoseconds(const timespec& time);
inline int64_t Mtime(const struct stat& status) { return Nanoseconds(status.st_mtim); }
inline int64_t Ctime(const struct stat& status) { return Nanoseconds(status.st_ctim); }
inline int64_t Atime(const struct stat& status) { return Nanoseconds(status.st_atim); }

// Longer than the tick by which a filesystem's clock may go.
void LetTheClockTick();

// Memory on the bound of a page, as direct I/O needs it.
class PageBuffer {
 public:
  explicit PageBuffer(size_t pages) : pages_(pages) {}
  // Through the vector's storage: by the first page's array a compiler takes that for the size.
  char* get() { return reinterpret_cast<char*>(pages_.data()); }
  size_t size() const { return pages_.size() * sizeof(Page); }

 private:
  struct alignas(4096) Page {
    std::array<char, 4096> bytes;
  };
  std::vector<Page> pages_;
};

// Bytes that differ from place to place and from seed to seed.
std::string Pattern(size_t size, uint32_t seed);

}  // namespace ckptfs::testing
