#include "fs/thread_credentials.h"

#include <linux/securebits.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <memory>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

// libcap sets the capabilities of the calling thread only, as the system call does.
void SetEffective(cap_value_t capability, cap_flag_value_t value) {
  const std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> caps(cap_get_proc(),
                                                                           cap_free);
  if (!caps) ThrowErrno("read the thread's capabilities");
  CheckSyscall(cap_set_flag(caps.get(), CAP_EFFECTIVE, 1, &capability, value),
               "change a set of capabilities");
  if (cap_set_proc(caps.get()) != 0) {
    ThrowErrno("set the thread's capabilities",
               "Run ckptfs as root with its full set of capabilities");
  }
}

bool Prepare() {
  CheckSyscall(unshare(CLONE_FS), "give a thread a umask of its own");
  const int bits = CheckSyscall(prctl(PR_GET_SECUREBITS), "read the thread's secure bits");
  CheckSyscall(prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP),
               "set the thread's secure bits");
  umask(0);
  SetEffective(CAP_FSETID, CAP_CLEAR);
  return true;
}

}  // namespace

void PrepareWorkerThread() {
  thread_local const bool prepared = Prepare();
  static_cast<void>(prepared);
}

ActAs::ActAs(const Caller& caller) {
  PrepareWorkerThread();
  setfsgid(caller.gid);
  setfsuid(caller.uid);
  umask(caller.umask);
}

ActAs::~ActAs() {
  umask(0);
  setfsuid(0);
  setfsgid(0);
}

KeepSetId::KeepSetId(bool keep) : kept_(keep) {
  PrepareWorkerThread();
  if (kept_) SetEffective(CAP_FSETID, CAP_SET);
}

KeepSetId::~KeepSetId() {
  if (!kept_) return;
  try {
    SetEffective(CAP_FSETID, CAP_CLEAR);
  } catch (const Error&) {
    // Dropping a capability that the thread has cannot fail.
    std::terminate();
  }
}

}  // namespace ckptfs
