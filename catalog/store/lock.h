// The lock on a store.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "backend/base/unique_fd.h"

namespace ckptfs {

// The file `lock` in a store's directory. While a daemon uses the store, the file exists, flocked, with the
// daemon's PID in it. So an unlocked file was left by a run that did not end cleanly. The kernel releases the
// lock when the process ends, for whatever reason. Thread-safe.
//
// The directory is flocked too. A read-only user of the store may hold that lock alone, if the file does not
// exist and cannot be created (a read-only or full disk).
class StoreLock {
 public:
  static constexpr char kFileName[] = "lock";

  // Throws Error: EBUSY, with the holder's PID, if another process has the store. With `read_only` it skips
  // what would require writing.
  explicit StoreLock(int store_fd, bool read_only = false);
  // Removes the file, then releases the lock. After Keep, the file stays.
  ~StoreLock();
  StoreLock(const StoreLock&) = delete;
  StoreLock& operator=(const StoreLock&) = delete;

  // Whether the file existed before: the last run did not end cleanly.
  bool was_left_behind() const noexcept { return was_left_behind_; }
  // The process that has the store at `store_path`; empty if none has, or if it is unknown.
  static std::optional<pid_t> Holder(const std::string& store_path);

  // This run will not count as clean: the next start checks everything.
  void Keep() noexcept { keep_ = true; }

 private:
  bool TryTake();
  // The file `lock`; not valid if it does not exist and cannot be created, or was removed just now (`again`).
  UniqueFd OpenFile(bool& made, bool& again) const;
  void LockDirectory();
  void WritePid() const;

  int store_fd_;
  bool read_only_;
  UniqueFd directory_;
  UniqueFd file_;
  bool was_left_behind_ = false;
  bool keep_ = false;
};

// Whether `lock` exists with the content that a StoreLock writes: a number and a newline. (Many programs keep
// a `lock` of another kind in their directory.)
bool LooksLikeStoreLock(int store_fd);

}  // namespace ckptfs
