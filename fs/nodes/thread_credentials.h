// Acting with the credentials of the calling process.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <vector>

namespace ckptfs {

// The sender of a request.
struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;  // TID of the caller
  mode_t umask = 0;
};

// The kernel has checked with default_permissions what the caller may do, by the attributes that it caches;
// the daemon then does it as root. Two things must still follow the caller:
//
// - The owner of new files. The thread's filesystem uid and gid are switched; with SECBIT_NO_SETUID_FIXUP
//   this does not change its capabilities (capabilities(7)).
// - The umask, which must be ignored if the parent has a default ACL. Only the underlying filesystem knows
//   that. So the thread's own umask is set (unshare(CLONE_FS) made it private).
//
// CAP_FSETID is not effective on worker threads. So a file that such a thread writes or truncates, and every
// backing file that it registers for passthrough, loses its set-user-id and set-group-id bits on write, as
// for an ordinary user (file_remove_privs in the kernel). `KeepSetId` makes it effective where the kernel has
// already decided that a bit may stay.
//
// The thread is in no group but its own, which a guard can change: groups decide about set-group-id bits.
//
// A thread must be prepared before its first request; every guard does that.
void PrepareWorkerThread();

// While it exists, the thread has the caller's filesystem uid, gid and umask.
class ActAs {
 public:
  explicit ActAs(const Caller& caller);
  ~ActAs();
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;

 private:
  const bool is_root_;
};

// If `keep`, CAP_FSETID is effective while it exists.
class KeepSetId {
 public:
  explicit KeepSetId(bool keep);
  ~KeepSetId();
  KeepSetId(const KeepSetId&) = delete;
  KeepSetId& operator=(const KeepSetId&) = delete;

 private:
  bool kept_;
};

// Whether the caller is in a group. Called only where it matters: the answer takes a while.
using InGroup = std::function<bool(gid_t)>;

// While it exists, the thread's changes to the content or owner of the file behind `fd` leave the set-id bits
// that the caller's own change would leave: all of them with CAP_FSETID (`keep`); else no set-user-id, and
// set-group-id only if the group has no execute permission and the caller is in the group. The kernel decides
// with the file's lock held, by whether the thread is in that group.
class KeepSetIdOf {
 public:
  // `new_group`: the group that the file is about to get.
  KeepSetIdOf(bool keep, int fd, const InGroup& in_group, std::optional<gid_t> new_group = {});
  ~KeepSetIdOf();
  KeepSetIdOf(const KeepSetIdOf&) = delete;
  KeepSetIdOf& operator=(const KeepSetIdOf&) = delete;

 private:
  KeepSetId keep_;
  bool in_other_group_ = false;
  bool in_new_group_ = false;
};

// While it exists, the thread is in the caller's group only, and so are writes to backing files that it
// registers meanwhile: for those the kernel cannot tell who writes.
class InGroupOf {
 public:
  explicit InGroupOf(const Caller& caller);
  ~InGroupOf();
  InGroupOf(const InGroupOf&) = delete;
  InGroupOf& operator=(const InGroupOf&) = delete;

 private:
  const bool is_other_;
};

// While it exists, the thread may see what this user and these groups may see, and no more.
class SeeAs {
 public:
  SeeAs(uid_t uid, gid_t gid, const std::vector<gid_t>& groups);
  ~SeeAs();
  SeeAs(const SeeAs&) = delete;
  SeeAs& operator=(const SeeAs&) = delete;
};

}  // namespace ckptfs
