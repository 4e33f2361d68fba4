// Doing things in the name of the process that asked.
#pragma once

#include <sys/types.h>

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

// The thread may look at what these may look at, and at no more, while it exists.
class SeeAs {
 public:
  SeeAs(uid_t uid, gid_t gid, const std::vector<gid_t>& groups);
  ~SeeAs();
  SeeAs(const SeeAs&) = delete;
  SeeAs& operator=(const SeeAs&) = delete;

 private:
  std::vector<gid_t> own_groups_;
};

}  // namespace ckptfs
