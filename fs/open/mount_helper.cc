#include "fs/open/mount_helper.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

#include "backend/base/elastic_pool.h"
#include "backend/base/error.h"
#include "backend/base/proc_path.h"
#include "fs/open/write_barrier.h"
#include "fs/processes/foreign_mounts.h"

namespace ckptfs {
namespace {

// Sent to the helper in one packet: the files to stop or, if there are none, the mount point.
struct Request {
  uint64_t count = 0;
  std::array<NodeHandle, BarrierCalls::kBatchMax> files{};
  std::array<char, 4096> mountpoint{};

  size_t bytes() const noexcept {
    return count == 0 ? sizeof(Request) : offsetof(Request, files) + count * sizeof(NodeHandle);
  }
};

// A path below the mount root to look up; the answer is its number. Number 0: the mount point.
struct NameRequest {
  uint64_t number = 0;
  std::array<char, 4096> path{};
};

// Kept for the next checkpoint: creating these threads is most of the cost of a stop.
constexpr std::chrono::seconds kThreadsKept{60};
// The maximum of calls outstanding: those that wait for a file's lock and those that hold one.
constexpr size_t kThreadsMax =
    BarrierShares::kCeiling + WriteBarrier::kHeldMax + WriteBarrier::kHeldSmallMax;
// How long the daemon waits at its end for a helper to end too. A helper blocked on a file cannot.
constexpr std::chrono::milliseconds kEndWait{500};

// --- The child -----------------------------------------------------------------------------------

// Opens the mount's root if it is still what its path leads to: a call on a file of another filesystem with
// the same number would change that file.
UniqueFd OpenMount(const char* mountpoint, dev_t device) {
  UniqueFd root(open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct statx status {};
  if (!root.valid() ||
      statx(root.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &status) != 0) {
    return {};
  }
  if (makedev(status.stx_dev_major, status.stx_dev_minor) != device) {
    errno = ESTALE;
    return {};
  }
  return root;
}

// Opens by the file handle that FUSE itself uses (fuse_encode_fh in the kernel's fs/fuse/inode.c): the node
// number in two halves, then its generation.
UniqueFd OpenNode(int mount_fd, const NodeHandle& file) {
  constexpr int kNodeAndGeneration = 0x81;
  const std::array words = {static_cast<uint32_t>(file.node >> 32),
                            static_cast<uint32_t>(file.node), file.generation};
  alignas(file_handle) std::array<std::byte, sizeof(file_handle) + sizeof(words)> buffer{};
  auto* handle = reinterpret_cast<file_handle*>(buffer.data());
  handle->handle_bytes = sizeof(words);
  handle->handle_type = kNodeAndGeneration;
  std::memcpy(handle->f_handle, words.data(), sizeof(words));
  return UniqueFd(open_by_handle_at(mount_fd, handle, O_PATH | O_CLOEXEC));
}

// Returns when the daemon has answered, which may be never. Until then it holds only the file open.
int CallOn(const char* mountpoint, dev_t device, const NodeHandle& file) {
  UniqueFd mount = OpenMount(mountpoint, device);
  if (!mount.valid()) return errno;
  const UniqueFd fd = OpenNode(mount.get(), file);
  int error = fd.valid() ? 0 : errno;
  mount.Reset();
  if (error == 0 &&
      setxattr(ProcPath(fd.get()).c_str(), BarrierCalls::kXattrName, nullptr, 0, 0) != 0) {
    error = errno;
  }
  // The daemon's answer; files closed and forgotten meanwhile; the end of the mount.
  constexpr std::array kExpected = {MountHelper::kAnswer, ESTALE, ENOENT, ENOTCONN, ECONNABORTED};
  return std::find(kExpected.begin(), kExpected.end(), error) == kExpected.end() ? error : 0;
}

void Tell(int socket, const NodeHandle& file, int error) {
  const BarrierCalls::Report report{.node = file.node, .error = error};
  send(socket, &report, sizeof(report), MSG_NOSIGNAL);  // fails if the daemon is gone
}

void StopAll(ElasticPool& threads, int socket, const Request& request,
             const std::string& mountpoint, dev_t device) {
  for (size_t i = 0; i < std::min<size_t>(request.count, request.files.size()); ++i) {
    const NodeHandle file = request.files[i];
    const bool posted = threads.TryPost([=] {
      const int error = CallOn(mountpoint.c_str(), device, file);
      Tell(socket, file, error);
    });
    if (!posted) Tell(socket, file, EAGAIN);
  }
}

// False: the daemon's end of the socket is closed.
template <typename Message>
bool Receive(int socket, Message& message) {
  ssize_t size = -1;
  do {
    size = recv(socket, &message, sizeof(message), 0);
  } while (size < 0 && errno == EINTR);
  return size > 0;
}

// There are many call threads, and they need little memory.
void MakeThreadsSmall() {
  constexpr size_t kStackBytes = size_t{256} << 10;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return;
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
}

// Serves until the daemon's end of the socket is closed.
[[noreturn]] void RunStops(int socket) {
  MakeThreadsSmall();
  std::string mountpoint;
  dev_t device = 0;
  ElasticPool threads(kThreadsKept, kThreadsMax);
  Request request;
  while (Receive(socket, request)) {
    if (request.count != 0) {
      StopAll(threads, socket, request, mountpoint, device);
    } else {
      mountpoint = request.mountpoint.data();
      device = DeviceOfMount(mountpoint);
    }
  }
  _exit(0);
}

// Keeps nothing open, not even during a call: the mount could not be unmounted.
[[noreturn]] void RunNames(int socket) {
  std::string mountpoint;
  NameRequest request;
  while (Receive(socket, request)) {
    if (request.number == 0) {
      mountpoint = request.path.data();
      continue;
    }
    const std::string path = mountpoint + "/" + request.path.data();
    struct statx status {};
    static_cast<void>(statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC,
                            STATX_TYPE, &status));
    send(socket, &request.number, sizeof(request.number), MSG_NOSIGNAL);
  }
  _exit(0);
}

// Closes all the daemon's descriptors but the socket, in particular the pipe on which the mounting command
// waits for the daemon.
[[noreturn]] void BecomeHelper(int socket, void (*run)(int)) {
  constexpr int kSocket = STDERR_FILENO + 1;
  if (dup2(socket, kSocket) < 0 || close_range(kSocket + 1, ~0U, 0) != 0) _exit(1);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) _exit(1);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
  close(null);
  prctl(PR_SET_NAME, "ckptfs-helper");
  // Signals sent to the daemon's process group or service are handled by the daemon; the helper ends with it.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_IGN);
  try {
    run(kSocket);
  } catch (const std::exception&) {  // no memory or no thread: the daemon notices the exit
  }
  _exit(1);
}

// Receives what arrives before the deadline.
template <typename Message>
std::optional<Message> ReceiveBefore(int socket, std::chrono::steady_clock::time_point deadline) {
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd waiting{.fd = socket, .events = POLLIN, .revents = 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return std::nullopt;
    Message message;
    if (recv(socket, &message, sizeof(message), MSG_DONTWAIT) != sizeof(message)) {
      return std::nullopt;
    }
    return message;
  }
}

// Returns the process and the daemon's end of its socket.
std::pair<pid_t, UniqueFd> StartHelper(void (*run)(int)) {
  std::array<int, 2> ends{};
  CheckSyscall(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()),
               "make a pair of sockets");
  UniqueFd daemons_end(ends[0]);
  const UniqueFd childs_end(ends[1]);
  const pid_t pid = CheckSyscall(fork(), "start a helper process");
  if (pid == 0) BecomeHelper(childs_end.get(), run);
  return {pid, std::move(daemons_end)};
}

}  // namespace

// --- The daemon's side -----------------------------------------------------------------------------

MountHelper::MountHelper() {
  std::tie(pid_, socket_) = StartHelper(RunStops);
  std::tie(names_pid_, names_socket_) = StartHelper(RunNames);
}

// A call blocked behind a write that never ends keeps its process alive: the daemon does not wait for it.
MountHelper::~MountHelper() {
  socket_.Reset();
  names_socket_.Reset();
  const auto deadline = std::chrono::steady_clock::now() + kEndWait;
  for (const pid_t pid : {pid_, names_pid_}) {
    while (waitpid(pid, nullptr, WNOHANG) == 0 && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

void MountHelper::SetMountpoint(const std::string& mountpoint) {
  auto request = std::make_unique<Request>();
  if (mountpoint.size() >= request->mountpoint.size()) return;  // Start will report the error
  std::copy(mountpoint.begin(), mountpoint.end(), request->mountpoint.begin());
  send(socket_.get(), request.get(), request->bytes(), MSG_NOSIGNAL);
  NameRequest names;
  std::copy(mountpoint.begin(), mountpoint.end(), names.path.begin());
  const MutexLock lock(names_mutex_);
  send(names_socket_.get(), &names, sizeof(names), MSG_NOSIGNAL);
}

BarrierCalls::Taken MountHelper::Start(const std::vector<NodeHandle>& files) {
  Request request;
  request.count = std::min(files.size(), request.files.size());
  std::copy_n(files.begin(), request.count, request.files.begin());
  const ssize_t sent = send(socket_.get(), &request, request.bytes(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) return Taken::kAll;
  constexpr std::array kPassing = {EAGAIN, EINTR, ENOBUFS, ENOMEM};
  return std::find(kPassing.begin(), kPassing.end(), errno) == kPassing.end() ? Taken::kGone
                                                                              : Taken::kBusy;
}

std::optional<BarrierCalls::Report> MountHelper::Receive() {
  Report report;
  if (!ckptfs::Receive(socket_.get(), report)) return std::nullopt;
  return report;
}

void MountHelper::HangUp() { shutdown(socket_.get(), SHUT_RDWR); }

void MountHelper::LookUp(const std::string& name, std::chrono::milliseconds time_max) {
  const auto deadline = std::chrono::steady_clock::now() + time_max;
  NameRequest request;
  if (name.size() >= request.path.size()) return;
  std::copy(name.begin(), name.end(), request.path.begin());
  const MutexLock lock(names_mutex_);
  request.number = ++names_asked_;
  if (send(names_socket_.get(), &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT) !=
      sizeof(request)) {
    return;
  }
  // Discards answers that came too late for their requester.
  while (const auto answered = ReceiveBefore<uint64_t>(names_socket_.get(), deadline)) {
    if (*answered == request.number) return;
  }
}

}  // namespace ckptfs
