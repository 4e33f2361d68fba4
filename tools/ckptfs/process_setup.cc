#include "tools/ckptfs/process_setup.h"

#include <fcntl.h>
#include <linux/ioprio.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "fs/nodes/descriptor_limit.h"

namespace ckptfs {
namespace {

constexpr std::string_view kPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr const char* kOwnProgram = "/proc/self/exe";
constexpr rlim_t kStackBytes = rlim_t{8} << 20;

// Variables that the machine may require: library paths, and that libdevmapper must not wait for udev where
// there is none. The sanitizer variables matter only to programs built with sanitizers.
constexpr std::array<std::string_view, 6> kOfTheMachine = {"LD_LIBRARY_PATH", "DM_DISABLE_UDEV",
                                                           "ASAN_OPTIONS",    "LSAN_OPTIONS",
                                                           "TSAN_OPTIONS",    "UBSAN_OPTIONS"};

bool IsKept(std::string_view variable) {
  const std::string_view name = variable.substr(0, variable.find('='));
  return variable == kPath || IsFailpointVariable(name) ||
         std::find(kOfTheMachine.begin(), kOfTheMachine.end(), name) != kOfTheMachine.end();
}

// A finite limit of these would kill the daemon, or make it fail, because of its users' actions. The limit of
// open files has its own rules (fs/nodes/descriptor_limit.h); whether core files are written stays the
// starter's choice.
constexpr std::array kUnlimited = {RLIMIT_FSIZE, RLIMIT_CPU,     RLIMIT_AS,    RLIMIT_DATA,
                                   RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_RTTIME};

// As far as possible; with CAP_SYS_RESOURCE, completely.
void Raise(__rlimit_resource resource, rlim_t wanted) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0) return;
  const rlimit all{.rlim_cur = wanted, .rlim_max = std::max(wanted, limit.rlim_max)};
  if (setrlimit(resource, &all) == 0) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  setrlimit(resource, &limit);
}

// Refuses to start with such a limit: a user who needs more would end the daemon, or its catalog could not
// grow.
void RequireNone(__rlimit_resource resource, const char* name) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  throw Error(EPERM, "lift the limit of " + std::string(name), {},
              "Start it without this limit (ulimit), or with CAP_SYS_RESOURCE");
}

void LiftLimits() {
  for (const __rlimit_resource resource : kUnlimited) Raise(resource, RLIM_INFINITY);
  RequireNone(RLIMIT_FSIZE, "the size of files");
  RequireNone(RLIMIT_CPU, "processor time");
  // The C library sets the stack size of threads from the limit at program start.
  Raise(RLIMIT_STACK, kStackBytes);
  pthread_attr_t threads;
  pthread_attr_init(&threads);
  pthread_attr_setstacksize(&threads, kStackBytes);
  pthread_setattr_default_np(&threads);
  pthread_attr_destroy(&threads);
  RaiseDescriptorLimit();
}

bool IsFromTerminal(int number) {
  return number == SIGHUP || number == SIGINT || number == SIGQUIT;
}

// With SIGCHLD ignored, the exit status of mkfs would be lost. With SIGTERM ignored or blocked, the daemon
// would not end.
void ResetSignals(bool foreground) {
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action {};
    // Fails for signals that cannot be set, and for those that the C library reserves.
    if (sigaction(number, nullptr, &action) != 0) continue;
    if (foreground && IsFromTerminal(number) && action.sa_handler == SIG_IGN) continue;
    std::signal(number, SIG_DFL);
  }
  // Writing to a broken pipe, or beyond a filesystem's file size limit, is an error of one call: EPIPE,
  // EFBIG.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
  alarm(0);  // it survives an exec
}

// A priority above normal was chosen for the daemon. One below is that of a batch job that happened to mount,
// and everybody's files would wait for its turn.
void ResetPriority() {
  if (getpriority(PRIO_PROCESS, 0) > 0) setpriority(PRIO_PROCESS, 0, 0);
  const int policy = sched_getscheduler(0);
  if (policy == SCHED_IDLE || policy == SCHED_BATCH) {
    const sched_param ordinary{};
    sched_setscheduler(0, SCHED_OTHER, &ordinary);
  }
  const auto io = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
  const bool is_low =
      IOPRIO_PRIO_CLASS(io) == IOPRIO_CLASS_IDLE ||
      (IOPRIO_PRIO_CLASS(io) == IOPRIO_CLASS_BE && IOPRIO_PRIO_DATA(io) > IOPRIO_NORM);
  if (io >= 0 && is_low) {
    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_NONE, 0));
  }
}

// Whoever uses up the machine's memory, the daemon must not be the first victim.
void ResetOutOfMemoryScore() {
  int score = 0;
  std::fstream file("/proc/self/oom_score_adj", std::ios::in | std::ios::out);
  if (!(file >> score) || score <= 0) return;
  file.seekp(0);
  file << 0 << std::flush;
}

}  // namespace

void RestartWithOwnEnvironment(char* const* arguments) {
  close_range(STDERR_FILENO + 1, ~0U, 0);
  std::vector<char*> own;
  bool is_own = true;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (IsKept(*variable)) {
      own.push_back(*variable);
    } else {
      is_own = false;
    }
  }
  std::string path(kPath);
  if (std::find(own.begin(), own.end(), kPath) == own.end()) {
    own.push_back(path.data());
    is_own = false;
  }
  if (is_own) {
    // The same name however it was run; after the re-exec it would show as "exe".
    prctl(PR_SET_NAME, "ckptfs");
    return;
  }
  own.push_back(nullptr);
  execve(kOwnProgram, arguments, own.data());
  ThrowErrno("start with an environment of its own", "Is /proc mounted?");
}

void SetUpProcess(bool foreground) {
  LiftLimits();
  ResetSignals(foreground);
  ResetPriority();
  ResetOutOfMemoryScore();
  umask(0);
  CheckSyscall(chdir("/"), "change to /");
}

}  // namespace ckptfs
