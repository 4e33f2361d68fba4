// Doing things in the name of the process that asked.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <vector>

namespace ckptfs {

// Who sent a request.
struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;  // of the thread that called
  mode_t umask = 0;
};

// The kernel has checked with default_permissions what the caller may do, by the attributes that
// it caches; the daemon then does it as root. Two things must still follow the caller:
//
// - The owner of what is made. The thread's file system uid and gid are switched; with
//   SECBIT_NO_SETUID_FIXUP that leaves its capabilities alone (capabilities(7)).
// - The umask, which must not count where the parent has a default ACL: only the filesystem
//   underneath knows that. So the thread's own umask is set (unshare(CLONE_FS) made it its own).
//
// CAP_FSETID is out of the effective set of every worker thread: what such a thread writes or
// truncates, and every backing file that it registers for passthrough, then loses its set-user-id
// and set-group-id bits on write as it does for an ordinary user (file_remove_privs in the
// kernel). `KeepSetId` puts it back where the kernel has decided already that a bit may stay.
//
// It is in no group but its own, which a guard can change: groups decide about set-group-id bits.
//
// A thread must be prepared before its first request; every guard does that.
void PrepareWorkerThread();

// The file system uid, gid and umask are the caller's while it exists.
class ActAs {
 public:
  explicit ActAs(const Caller& caller);
  ~ActAs();
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;

 private:
  const bool is_root_;
};

// CAP_FSETID is effective while it exists, if `keep`.
class KeepSetId {
 public:
  explicit KeepSetId(bool keep);
  ~KeepSetId();
  KeepSetId(const KeepSetId&) = delete;
  KeepSetId& operator=(const KeepSetId&) = delete;

 private:
  bool kept_;
};

// Whether the caller belongs to a group. Asked only where it matters: to find it out takes a while.
using InGroup = std::function<bool(gid_t)>;

// While it exists, what the thread does to the content or the owner of the file behind `fd` leaves that
// file the set-id bits which the caller would leave it: all with CAP_FSETID (`keep`), else no
// set-user-id, and set-group-id only without permission for the group to execute, if the caller is in the
// group. The kernel decides, with the file's lock held; it finds the thread in that group or in none.
class KeepSetIdOf {
 public:
  // `new_group`: that the file is going to have.
  KeepSetIdOf(bool keep, int fd, const InGroup& in_group, std::optional<gid_t> new_group = {});
  ~KeepSetIdOf();
  KeepSetIdOf(const KeepSetIdOf&) = delete;
  KeepSetIdOf& operator=(const KeepSetIdOf&) = delete;

 private:
  KeepSetId keep_;
  bool in_other_group_ = false;
  bool in_new_group_ = false;
};

// The thread is in that group only while it exists, and so are the writes to a backing file that it
// registers meanwhile. Of those the kernel cannot tell who makes them.
class InGroupOf {
 public:
  explicit InGroupOf(const Caller& caller);
  ~InGroupOf();
  InGroupOf(const InGroupOf&) = delete;
  InGroupOf& operator=(const InGroupOf&) = delete;

 private:
  const bool is_other_;
};

// The thread may look at what these may look at, and at no more, while it exists.
class SeeAs {
 public:
  SeeAs(uid_t uid, gid_t gid, const std::vector<gid_t>& groups);
  ~SeeAs();
  SeeAs(const SeeAs&) = delete;
  SeeAs& operator=(const SeeAs&) = delete;
};

}  // namespace ckptfs
