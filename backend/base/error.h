// The one exception type of ckptfs.
#pragma once

#include <string>
#include <string_view>
#include <system_error>

namespace ckptfs {

// An error with everything needed for a one-line message: what was tried and on what, why it failed, and what
// to do about it. code() is an errno in std::generic_category(); the FUSE adapter returns it to the kernel,
// and `ckpt` maps it to its exit status.
//
// Immutable after construction, so thread-safe.
class Error : public std::system_error {
 public:
  // `attempted` names the action and its object, without a full stop ("open volumes.img"). `why` replaces
  // strerror(errno_value) where the errno alone would mislead. `hint` says what to do, as a sentence without
  // its full stop; may be empty.
  explicit Error(int errno_value, std::string_view attempted, std::string_view why = {},
                 std::string_view hint = {});

  int errno_value() const noexcept { return code().value(); }
  const std::string& attempted() const noexcept { return attempted_; }
  const std::string& why() const noexcept { return why_; }
  const std::string& hint() const noexcept { return hint_; }

  // "attempted: why" or "attempted: why. hint."
  const char* what() const noexcept override { return line_.c_str(); }

 private:
  std::string attempted_;
  std::string why_;
  std::string hint_;
  std::string line_;
};

// Throws Error with the calling thread's errno. Never returns.
[[noreturn]] void ThrowErrno(std::string_view attempted, std::string_view hint = {});

// Returns `result` of a system call; throws Error with errno if it is negative.
template <typename Result>
Result CheckSyscall(Result result, std::string_view attempted) {
  if (result < 0) ThrowErrno(attempted);
  return result;
}

}  // namespace ckptfs
