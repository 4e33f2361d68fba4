#include "tests/posix/posix_test.h"

#include <dirent.h>
#include <grp.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <memory>
#include <random>

namespace ckptfs::testing {
namespace {

// A failed test may leave files that cannot be removed: take the flags off.
void MakeRemovable(const std::filesystem::path& root) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(
           root, std::filesystem::directory_options::skip_permission_denied)) {
    if (!entry.is_regular_file() && !entry.is_directory()) continue;
    if (entry.is_symlink()) continue;
    const UniqueFd fd(open(entry.path().c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    int flags = 0;
    if (fd.valid()) ioctl(fd.get(), FS_IOC_SETFLAGS, &flags);
  }
}

}  // namespace

std::string ErrnoOf(long result) {
  if (result != -1) return kOk;
  const char* name = strerrorname_np(errno);
  return name != nullptr ? name : std::to_string(errno);
}

Child::Child(const std::function<void()>& body) {
  std::cout << std::flush;
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) ADD_FAILURE() << "fork: " << std::strerror(errno);
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  // What failed before the fork is the parent's business: count only what fails from here on.
  const int before =
      ::testing::UnitTest::GetInstance()->current_test_info()->result()->total_part_count();
  body();
  const int after =
      ::testing::UnitTest::GetInstance()->current_test_info()->result()->total_part_count();
  std::cout << std::flush;
  _exit(after > before ? 1 : 0);
}

Child::~Child() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  WaitStatus();
}

int Child::WaitStatus() {
  int status = -1;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

bool Child::Succeeded() {
  const int status = WaitStatus();
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool InChild(const std::function<void()>& body) { return Child(body).Succeeded(); }

bool AsUser(const User& user, const std::function<void()>& body) {
  return InChild([&] {
    ASSERT_OK(setgroups(user.groups.size(), user.groups.data()));
    ASSERT_OK(setresgid(user.gid, user.gid, user.gid));
    ASSERT_OK(setresuid(user.uid, user.uid, user.uid));
    body();
  });
}

Signal::Signal() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) ADD_FAILURE() << "pipe: " << std::strerror(errno);
  read_.Reset(ends[0]);
  write_.Reset(ends[1]);
}

void Signal::Send() const { EXPECT_EQ(write(write_.get(), "x", 1), 1); }

void Signal::Await() const {
  constexpr int kPatienceMs = 20'000;
  pollfd waiting{.fd = read_.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(poll(&waiting, 1, kPatienceMs), 1) << "the other process did not come so far";
  char byte = 0;
  EXPECT_EQ(read(read_.get(), &byte, 1), 1);
}

void PosixTest::SetUp() {
  dir_ = TestRoot() + "/posix.XXXXXX";
  ASSERT_NE(mkdtemp(dir_.data()), nullptr) << dir_ << ": " << std::strerror(errno);
  Chmod(dir_, 0777);
}

void PosixTest::TearDown() {
  std::error_code failed;
  std::filesystem::remove_all(dir_, failed);
  if (!failed) return;
  MakeRemovable(dir_);
  std::filesystem::remove_all(dir_, failed);
  EXPECT_FALSE(failed) << "cannot remove " << dir_ << ": " << failed.message();
}

std::string TestRoot() {
  const char* root = std::getenv("POSIX_TEST_DIR");
  return root != nullptr ? root : "";
}

bool ThroughDaemon() { return std::getenv("POSIX_TEST_THROUGH_DAEMON") != nullptr; }

UniqueFd Open(const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd.valid()) ADD_FAILURE() << "open " << path << ": " << std::strerror(errno);
  return fd;
}

void WriteFile(const std::string& path, std::string_view content, mode_t mode) {
  const UniqueFd fd = Open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  WriteAt(fd.get(), 0, content);
}

std::string ReadFile(const std::string& path) {
  const UniqueFd fd = Open(path, O_RDONLY);
  std::string content;
  std::array<char, 65536> buffer{};
  ssize_t size = 0;
  while ((size = read(fd.get(), buffer.data(), buffer.size())) > 0) {
    content.append(buffer.data(), static_cast<size_t>(size));
  }
  EXPECT_OK(size) << "read " << path;
  return content;
}

void WriteAt(int fd, off_t offset, std::string_view content) {
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t size =
        pwrite(fd, content.data() + done, content.size() - done, offset + static_cast<off_t>(done));
    if (size <= 0) {
      ADD_FAILURE() << "write at " << offset << ": " << ErrnoOf(size);
      return;
    }
    done += static_cast<size_t>(size);
  }
}

std::string ReadAt(int fd, off_t offset, size_t size) {
  std::string content(size, '\0');
  size_t done = 0;
  while (done < size) {
    const ssize_t got =
        pread(fd, content.data() + done, size - done, offset + static_cast<off_t>(done));
    EXPECT_OK(got) << "read at " << offset;
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  content.resize(done);
  return content;
}

struct stat Stat(const std::string& path) {
  struct stat status {};
  EXPECT_OK(lstat(path.c_str(), &status)) << path;
  return status;
}

struct stat Stat(int fd) {
  struct stat status {};
  EXPECT_OK(fstat(fd, &status));
  return status;
}

std::vector<std::string> List(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  if (!directory) {
    ADD_FAILURE() << "list " << path << ": " << std::strerror(errno);
    return names;
  }
  errno = 0;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  EXPECT_EQ(errno, 0) << "list " << path;
  std::sort(names.begin(), names.end());
  return names;
}

mode_t Mode(const std::string& path) { return Stat(path).st_mode & 07777; }
void Chmod(const std::string& path, mode_t mode) { EXPECT_OK(chmod(path.c_str(), mode)) << path; }
void Chown(const std::string& path, uid_t uid, gid_t gid) {
  EXPECT_OK(lchown(path.c_str(), uid, gid)) << path;
}
bool Exists(const std::string& path) {
  struct stat status {};
  return lstat(path.c_str(), &status) == 0;
}

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

void LetTheClockTick() { usleep(12'000); }

std::string Pattern(size_t size, uint32_t seed) {
  std::minstd_rand random(seed + 1);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random() >> 8U);
  return bytes;
}

}  // namespace ckptfs::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (geteuid() != 0 || ckptfs::testing::TestRoot().empty()) {
    std::cerr << "posix_tests: run as root with POSIX_TEST_DIR set to a directory of the "
                 "filesystem to test, mounted with suid and dev\n";
    return 2;
  }
  umask(022);
  return RUN_ALL_TESTS();
}
