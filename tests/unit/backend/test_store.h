// Temporary locations for tests of the backends.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"

namespace ckptfs {

// True if this process may do what the backends need; otherwise tests are skipped.
bool CanUseLoopDevices();

#define CKPTFS_SKIP_WITHOUT_LOOP_DEVICES()                                              \
  if (!::ckptfs::CanUseLoopDevices()) {                                                 \
    GTEST_SKIP() << "needs root, /dev/loop-control, and btrfs in the kernel and tools"; \
  }

// An empty directory on a real disk, removed with its content.
class TestDirectory {
 public:
  TestDirectory();
  ~TestDirectory();
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  std::string Path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
  UniqueFd fd_;
};

// A filesystem mounted on a directory that only this process and its children see; unmounted by the
// destructor, or by the kernel when the process dies.
class TestMount {
 public:
  // As mount(2); if `source` is a file, it is attached to a loop device.
  TestMount(const std::string& type, const std::string& source, const std::string& target,
            unsigned long flags = 0, const std::string& options = "");
  ~TestMount();
  TestMount(const TestMount&) = delete;
  TestMount& operator=(const TestMount&) = delete;

 private:
  std::string target_;
};

// The Error that `action` throws; with errno 0 if it throws none.
template <typename Action>
Error ErrorOf(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return Error(0, "nothing failed");
}

// Files, in directories given by descriptor.
void WriteFileAt(int dir_fd, const std::string& name, const std::string& content);
std::string ReadFileAt(int dir_fd, const std::string& name);
bool ExistsAt(int dir_fd, const std::string& name);
// A sparse copy: what a power failure at this moment would leave if `from` is written with direct I/O.
void CopySparse(const std::string& from, const std::string& to);

// Runs `body` in a child process, which then waits and is killed (SIGKILL). Returns once it is gone; false if
// `body` threw.
bool RunAndKill(const std::function<void()>& body);

// Calls CreateBackend in a new process, which dies at `failpoint`. True if it died there.
bool CreateAndDieAt(const std::string& failpoint, const std::string& store_path,
                    const std::string& type, uint64_t size_bytes);

}  // namespace ckptfs
