// What the tests of ordinary files share.
//
// The tests run in POSIX_TEST_DIR, an empty directory of the filesystem under test, which is mounted with
// suid and dev. Nothing here knows which filesystem that is: every expectation must hold on native btrfs, and
// then also on ckptfs. In the few places where a daemon without passthrough makes an unavoidable difference,
// the tests ask ThroughDaemon() and say why.
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

// The errno of a call as "EEXIST", or "OK" if it did not return -1. Takes the result of the call; errno must
// still be the call's.
std::string ErrnoOf(long result);
inline constexpr char kOk[] = "OK";

#define EXPECT_OK(call) EXPECT_EQ(ErrnoOf(call), kOk)
#define ASSERT_OK(call) ASSERT_EQ(ErrnoOf(call), kOk)
#define EXPECT_ERRNO(error, call) EXPECT_EQ(ErrnoOf(call), #error)

// Users that own only what a test gives them and are in no group of the system.
struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
};
inline const User kAlice{.uid = 61001, .gid = 62001, .groups = {}};
inline const User kBob{.uid = 61002, .gid = 62002, .groups = {}};
inline constexpr gid_t kTeam = 62100;  // a group; a test puts users in it explicitly

// Run `body` in a child, as this process's user or as another. Return whether it ended without a failed
// expectation; the child's failures are printed.
[[nodiscard]] bool InChild(const std::function<void()>& body);
[[nodiscard]] bool AsUser(const User& user, const std::function<void()>& body);

// A child that runs concurrently with the test; killed and reaped by the destructor.
class Child {
 public:
  explicit Child(const std::function<void()>& body);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  pid_t pid() const { return pid_; }
  // Waits for the child to end; true if no expectation failed in it.
  [[nodiscard]] bool Succeeded();
  int WaitStatus();

 private:
  pid_t pid_ = -1;
};

// A one-way, one-shot signal: lets one process wait for another.
class Signal {
 public:
  Signal();
  void Send() const;
  void Await() const;  // fails the test after 20 seconds

 private:
  UniqueFd read_, write_;
};

// Each test has its own directory, accessible to all and removed afterwards.
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

// Each of these fails the test if the call fails.
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

// Waits for longer than the granularity of a filesystem's clock.
void LetTheClockTick();

// Page-aligned memory, as direct I/O needs it.
class PageBuffer {
 public:
  explicit PageBuffer(size_t pages) : pages_(pages) {}
  // Through the vector's storage: compilers would take the first page's array for the whole.
  char* get() { return reinterpret_cast<char*>(pages_.data()); }
  size_t size() const { return pages_.size() * sizeof(Page); }

 private:
  struct alignas(4096) Page {
    std::array<char, 4096> bytes;
  };
  std::vector<Page> pages_;
};

// Bytes that depend on the position and the seed.
std::string Pattern(size_t size, uint32_t seed);

}  // namespace ckptfs::testing
