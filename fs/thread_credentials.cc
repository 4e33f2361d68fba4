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

using Capabilities = std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)>;

// The thread's own, with CAP_FSETID effective or not.
Capabilities OwnCapabilities(cap_flag_value_t set_id) {
  Capabilities caps(cap_get_proc(), cap_free);
  if (!caps) ThrowErrno("read the thread's capabilities");
  constexpr cap_value_t kCapability = CAP_FSETID;
  CheckSyscall(cap_set_flag(caps.get(), CAP_EFFECTIVE, 1, &kCapability, set_id),
               "change a set of capabilities");
  return caps;
}

// libcap sets the capabilities of the calling thread only, as the system call does. Requests that
// change an owner switch twice each, so both sets are kept ready.
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

bool Prepare() {
  CheckSyscall(unshare(CLONE_FS), "give a thread a umask of its own");
  const int bits = CheckSyscall(prctl(PR_GET_SECUREBITS), "read the thread's secure bits");
  CheckSyscall(prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP),
               "set the thread's secure bits");
  umask(0);
  ThreadSetIdSwitch().Set(false);
  return true;
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

}  // namespace ckptfs
