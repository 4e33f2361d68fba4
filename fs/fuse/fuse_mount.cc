#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/fuse/fuse_mount.h"

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>

#include "backend/base/error.h"
#include "backend/mount/detached_mount.h"
#include "fs/fuse/fuse_kernel_cache.h"
#include "fs/fuse/fuse_operations.h"
#include "fs/processes/foreign_mounts.h"

namespace ckptfs {
namespace {

constexpr char kUringSwitch[] = "/sys/module/fuse/parameters/enable_uring";
// Each change that waits at a closed freeze lock occupies one. Threads are created when all others are busy.
constexpr unsigned int kRequestThreadsMax = 512;

bool KernelAllowsUring() {
  char state = 'N';
  std::ifstream(kUringSwitch) >> state;
  return state == 'Y';
}

// Whether requests are to come over io_uring.
bool ChooseUring(IoUring wanted) {
  if (wanted == IoUring::kOff) return false;
  if (wanted == IoUring::kOn && !KernelAllowsUring()) {
    std::ofstream(kUringSwitch) << "Y";
    if (!KernelAllowsUring()) {
      spdlog::warn("io_uring=on, but this kernel has no FUSE over io_uring: doing without");
      return false;
    }
  }
  return KernelAllowsUring();
}

// How many requests of one processor can be in progress. Checkpoints keep one unanswered for each file open
// for writing (WriteBarrier), from any processor, and other requests must still get through. With few
// processors one ring may get them all; with many they spread. An entry costs a page, and address space for
// the largest request.
unsigned int RingDepth() {
  constexpr unsigned int kAllHeld = WriteBarrier::kHeldMax + WriteBarrier::kHeldSmallMax;
  constexpr unsigned int kOthers = 32;
  constexpr unsigned int kFewEntries = 2048;
  constexpr unsigned int kEntriesMax = 8192;
  const unsigned int processors = std::max(1L, sysconf(_SC_NPROCESSORS_CONF));
  const unsigned int depth = std::min(kFewEntries / processors, kAllHeld + kOthers);
  constexpr unsigned int kOfOne = WriteBarrier::kFilesMax + kOthers;
  return std::clamp(kEntriesMax / processors, kOthers, std::max(depth, kOfOne));
}

std::string JoinOptions(const FuseOptions& options, bool uring) {
  // The kernel itself checks permissions, for every user, by attributes that it caches.
  std::string joined = "default_permissions,allow_other,subtype=ckptfs,fsname=";
  for (const char c : options.source) {
    if (c == ',' || c == '\\') joined += '\\';
    joined += c;
  }
  for (const std::string& option : options.kernel_options) joined += "," + option;
  if (uring) joined += ",io_uring,io_uring_q_depth=" + std::to_string(RingDepth());
  return joined;
}

class Arguments {
 public:
  explicit Arguments(const std::vector<std::string>& words) {
    for (const std::string& word : words) {
      if (fuse_opt_add_arg(&args_, word.c_str()) != 0) throw std::bad_alloc();
    }
  }
  ~Arguments() { fuse_opt_free_args(&args_); }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;
  fuse_args* get() noexcept { return &args_; }

 private:
  fuse_args args_ = FUSE_ARGS_INIT(0, nullptr);
};

// spdlog does not throw: it reports its own errors.
__attribute__((format(printf, 2, 0))) void LogFromLibrary(fuse_log_level level, const char* format,
                                                          va_list arguments) noexcept {
  char line[1024];
  const int size = vsnprintf(line, sizeof(line), format, arguments);
  std::string_view text(line, std::min(static_cast<size_t>(std::max(size, 0)), sizeof(line) - 1));
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (level <= FUSE_LOG_ERR) {
    spdlog::error("{}", text);
  } else if (level == FUSE_LOG_WARNING) {
    spdlog::warn("{}", text);
  } else {
    spdlog::debug("{}", text);
  }
}

// The mount works without this too: reads change access times as the mount underneath allows.
void ShowAccessTimes(const std::string& mountpoint, const AccessTimes& wanted) {
  if (wanted.rule == AccessTimeRule::kDefault && !wanted.spare_directories) return;
  mount_attr attributes{};
  SetAccessTimes(wanted, attributes);
  if (mount_setattr(AT_FDCWD, mountpoint.c_str(), 0, &attributes, sizeof(attributes)) != 0) {
    spdlog::warn("show the options for access times: {}", std::generic_category().message(errno));
  }
}

}  // namespace

class FuseMount::Impl {
 public:
  Impl(Store& store, const MountOptions& mount, const FuseOptions& fuse, MountHelper& helper)
      : handlers_(store, kernel_, mount, helper) {
    fuse_set_log_func(LogFromLibrary);
    std::signal(SIGIO, SIG_IGN);  // MappedFiles::IsOpenUnderneath
    std::vector<std::string> words = {"ckptfs", "-o",
                                      JoinOptions(fuse, ChooseUring(fuse.io_uring))};
    if (fuse.debug) words.emplace_back("-d");
    Arguments arguments(words);
    session_.reset(
        fuse_session_new(arguments.get(), &FuseOperations(), sizeof(FuseOperations()), &handlers_),
        [](fuse_session* session) {
          if (session != nullptr) fuse_session_destroy(session);
        });
    if (!session_) throw Error(EINVAL, "set up the connection to the kernel");
    if (fuse_set_signal_handlers(session_.get()) != 0) {
      throw Error(EINVAL, "set up the signal handlers");
    }
    errno = 0;
    if (fuse_session_mount(session_.get(), mount.mountpoint.c_str()) != 0) {
      fuse_remove_signal_handlers(session_.get());
      throw Error(errno != 0 ? errno : EIO, "mount on " + mount.mountpoint, {},
                  "See that you are root, that /dev/fuse is there and that the directory can be "
                  "mounted on");
    }
    ShowAccessTimes(mount.mountpoint, fuse.access_times);
    handlers_.mount.device = DeviceOfMount(mount.mountpoint);
    kernel_.Attach(session_);
    helper.SetMountpoint(mount.mountpoint);
  }

  ~Impl() {
    if (!session_) return;
    fuse_session_unmount(session_.get());
    fuse_remove_signal_handlers(session_.get());
    kernel_.Detach();
  }

  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void Run() {
    const std::unique_ptr<fuse_loop_config, void (*)(fuse_loop_config*)> config(
        fuse_loop_cfg_create(), fuse_loop_cfg_destroy);
    fuse_loop_cfg_set_max_threads(config.get(), kRequestThreadsMax);
    fuse_loop_cfg_set_idle_threads(config.get(), kRequestThreadsMax);
    handlers_.automatic.Begin();
    const int result = fuse_session_loop_mt(session_.get(), config.get());
    // Positive: a signal ended the loop.
    if (result < 0) throw Error(-result, "read requests from the kernel");
  }

 private:
  FuseKernelCache kernel_;
  // Destroyed after the session's threads, which end in Run, and after those of the handlers, which may be
  // notifying the kernel until then.
  std::shared_ptr<fuse_session> session_;
  FuseHandlers handlers_;
};

FuseMount::FuseMount(Store& store, const MountOptions& mount, const FuseOptions& fuse,
                     MountHelper& helper)
    : impl_(std::make_unique<Impl>(store, mount, fuse, helper)) {}
FuseMount::~FuseMount() = default;
void FuseMount::Run() { impl_->Run(); }

}  // namespace ckptfs
