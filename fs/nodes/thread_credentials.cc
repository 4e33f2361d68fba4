#include "fs/nodes/thread_credentials.h"

#include <linux/securebits.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

using Capabilities = std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)>;

// The thread's own capabilities, with CAP_FSETID effective or not.
Capabilities OwnCapabilities(cap_flag_value_t set_id) {
  Capabilities caps(cap_get_proc(), cap_free);
  if (!caps) ThrowErrno("read the thread's capabilities");
  constexpr cap_value_t kCapability = CAP_FSETID;
  CheckSyscall(cap_set_flag(caps.get(), CAP_EFFECTIVE, 1, &kCapability, set_id),
               "change a set of capabilities");
  return caps;
}

// libcap, like the system call, sets the capabilities of the calling thread only. Requests that change an
// owner switch twice each, so both sets are prepared.
class SetIdSwitch {
 public:
  SetIdSwitch() : without_(OwnCapabilities(CAP_CLEAR)), with_(OwnCapabilities(CAP_SET)) {}
  void Set(bool effective) {
    if (cap_set_proc((effective ? with_ : without_).get()) != 0) {
      ThrowErrno("set the thread's capabilities",
                 "Run ckptfs as root with its full set of capabilities");
    }
  }

 private:
  Capabilities without_;
  Capabilities with_;
};

SetIdSwitch& ThreadSetIdSwitch() {
  thread_local SetIdSwitch set_id_switch;
  return set_id_switch;
}

// The C library's setgroups(2) would apply to all threads.
void SetThreadGroups(const std::vector<gid_t>& groups) {
  CheckSyscall(syscall(SYS_setgroups, groups.size(), groups.data()), "set the thread's groups");
}

bool Prepare() {
  CheckSyscall(unshare(CLONE_FS), "give a thread a umask of its own");
  const int bits = CheckSyscall(prctl(PR_GET_SECUREBITS), "read the thread's secure bits");
  CheckSyscall(prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP),
               "set the thread's secure bits");
  umask(0);
  SetThreadGroups({});
  ThreadSetIdSwitch().Set(false);
  return true;
}

// With or without the capabilities that let root look at everything.
void SetSeesAll(cap_flag_value_t sees_all) {
  const Capabilities caps(cap_get_proc(), cap_free);
  if (!caps) ThrowErrno("read the thread's capabilities");
  constexpr std::array<cap_value_t, 2> kSeeAll = {CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH};
  CheckSyscall(cap_set_flag(caps.get(), CAP_EFFECTIVE, kSeeAll.size(), kSeeAll.data(), sees_all),
               "change a set of capabilities");
  CheckSyscall(cap_set_proc(caps.get()), "set the thread's capabilities");
}

}  // namespace

void PrepareWorkerThread() {
  thread_local const bool prepared = Prepare();
  static_cast<void>(prepared);
}

ActAs::ActAs(const Caller& caller) : is_root_(caller.uid == 0 && caller.gid == 0) {
  PrepareWorkerThread();
  if (!is_root_) {
    setfsgid(caller.gid);
    setfsuid(caller.uid);
  }
  umask(caller.umask);
}

ActAs::~ActAs() {
  umask(0);
  if (is_root_) return;
  setfsuid(0);
  setfsgid(0);
}

SeeAs::SeeAs(uid_t uid, gid_t gid, const std::vector<gid_t>& groups) {
  PrepareWorkerThread();
  SetThreadGroups(groups);
  try {
    SetSeesAll(CAP_CLEAR);
  } catch (...) {
    SetThreadGroups({});
    throw;
  }
  setfsgid(gid);
  setfsuid(uid);
}

SeeAs::~SeeAs() {
  setfsuid(0);
  setfsgid(0);
  try {
    SetSeesAll(CAP_SET);
    SetThreadGroups({});
  } catch (const Error&) {
    // Restoring what the thread had a moment ago cannot fail.
    std::terminate();
  }
}

KeepSetId::KeepSetId(bool keep) : kept_(keep) {
  PrepareWorkerThread();
  if (kept_) ThreadSetIdSwitch().Set(true);
}

KeepSetId::~KeepSetId() {
  if (!kept_) return;
  try {
    ThreadSetIdSwitch().Set(false);
  } catch (const Error&) {
    // Dropping a capability that the thread has cannot fail.
    std::terminate();
  }
}

KeepSetIdOf::KeepSetIdOf(bool keep, int fd, const InGroup& in_group, std::optional<gid_t> new_group)
    : keep_(keep) {
  if (keep) return;
  struct stat status {};
  CheckSyscall(fstat(fd, &status), "look at a file's mode");
  if ((status.st_mode & S_ISGID) == 0 || (status.st_mode & S_IXGRP) != 0) return;
  const bool is_in_group = in_group(status.st_gid);
  if (new_group && in_group(*new_group)) {
    SetThreadGroups({*new_group});
    in_new_group_ = true;
  }
  constexpr gid_t kSome = 1;
  setfsgid(is_in_group ? status.st_gid : status.st_gid == 0 ? kSome : 0);
  in_other_group_ = true;
}

KeepSetIdOf::~KeepSetIdOf() {
  if (in_other_group_) setfsgid(0);
  if (!in_new_group_) return;
  try {
    SetThreadGroups({});
  } catch (const Error&) {
    // Restoring the thread's former credentials cannot fail.
    std::terminate();
  }
}

InGroupOf::InGroupOf(const Caller& caller) : is_other_(caller.gid != 0) {
  PrepareWorkerThread();
  if (is_other_) setfsgid(caller.gid);
}

InGroupOf::~InGroupOf() {
  if (is_other_) setfsgid(0);
}

}  // namespace ckptfs
