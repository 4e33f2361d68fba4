// Who has a store.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "backend/base/unique_fd.h"

namespace ckptfs {

// The file `lock` in a store's directory. It exists, flocked and with its holder's PID in it, while
// a daemon has the store; so one that is there and free was left by a run that did not end
// cleanly. The kernel frees it with its holder, whatever ends that. Any thread may call.
//
// The directory is flocked, too: who only reads the store may hold no more than that, where the file is not
// there and cannot be made (a disk that is read-only, or full).
class StoreLock {
 public:
  static constexpr char kFileName[] = "lock";

  // Throws Error: EBUSY, with the holder's PID, if another process has the store. With `read_only` it does
  // without what would have to be written.
  explicit StoreLock(int store_fd, bool read_only = false);
  // Removes the file, and frees the lock after that. Left in place by Keep.
  ~StoreLock();
  StoreLock(const StoreLock&) = delete;
  StoreLock& operator=(const StoreLock&) = delete;

  // True if the file was there before: the last run did not end cleanly.
  bool was_left_behind() const noexcept { return was_left_behind_; }
  // The process that has the store at `store_path` now; empty if none has, or it cannot be told.
  static std::optional<pid_t> Holder(const std::string& store_path);

  // The end will not be a clean one: the next start shall look at everything.
  void Keep() noexcept { keep_ = true; }

 private:
  bool TryTake();
  // The file `lock`; not valid if there is none and can be none, or it was removed just now (`again`).
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

// True if `lock` is there and such as a StoreLock writes it: a number and a newline. (Programs that
// keep a `lock` of another kind in their directory are many.)
bool LooksLikeStoreLock(int store_fd);

}  // namespace ckptfs
