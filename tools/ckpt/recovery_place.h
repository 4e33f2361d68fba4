// The place where a directory takes the name of a symlink, atomically.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>

#include "backend/base/unique_fd.h"
#include "tools/ckpt/recovery_mark.h"

namespace ckptfs::cli {

// A symlink, and a work directory beside it, in which the directory is made that replaces it:
//
//   NAME                          the symlink; after Exchange, the directory
//   .NAME.ckptfs-recover/copy     the directory; after Exchange, the symlink
//   .NAME.ckptfs-recover/mark     a RecoveryMark, there before anything is in `copy`
//
// Only root, or the user who runs this, can look into the work directory. It is locked (flock) while a process
// uses it. What a killed process left is recognised by its name, owner, mark, and by the inode number of `copy`;
// only that is ever removed. Used by one thread.
class RecoveryPlace {
 public:
  // Throws Error ENOENT, EACCES, EINVAL for a path without a name.
  explicit RecoveryPlace(const std::string& path);

  const std::string& path() const noexcept {
    return path_;
  }  // absolute; its last part is not resolved
  const std::string& name() const noexcept { return name_; }
  int parent_fd() const noexcept { return parent_.get(); }
  // "recover PATH", for errors.
  std::string attempted() const;

  // Where the symlink leads. EINVAL if there is none.
  std::string ReadLink() const;

  // Takes over what a killed process left. Removes a half-made copy; if the directory has taken its place
  // already, returns the mark, and the work directory is still there. EBUSY if another process is at work,
  // EEXIST if something else has the work directory's name.
  std::optional<RecoveryMark> TakeOver();

  // Makes the work directory and an empty `copy` in it, which is returned. Sets mark.copy_inode. Throws Error:
  // EROFS, EACCES and so on, EOPNOTSUPP if the filesystem cannot exchange two names.
  UniqueFd BeginCopy(RecoveryMark mark);
  // The copy replaces the symlink. Durable on return, if the copy was. ESTALE, with nothing changed, if the
  // symlink is not the one of the mark.
  void Exchange();
  // The symlink is in the work directory.
  bool IsExchanged() const noexcept { return is_exchanged_; }
  // Removes the half-made copy and the work directory, or, after Exchange, the symlink and the work directory.
  void RemoveWork();

 private:
  bool OpenWork();
  void LockWork() const;
  std::optional<RecoveryMark> ReadMark() const;
  std::string LinkIn(int directory_fd, const char* name) const;
  std::optional<struct stat> Look(int directory_fd, const char* name) const;
  bool IsCopy(const std::optional<struct stat>& found) const;
  bool IsOurLink(int directory_fd, const char* name) const;
  void TryExchange() const;
  void ExchangeNames() const;
  void RemoveUnmarked();
  [[noreturn]] void ThrowInTheWay(const std::string& why) const;

  std::string path_;
  std::string name_;
  std::string work_name_;
  UniqueFd parent_;
  UniqueFd work_;
  std::optional<RecoveryMark> mark_;  // that of the work directory
  bool is_exchanged_ = false;
};

}  // namespace ckptfs::cli
