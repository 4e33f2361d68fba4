#include "fs/mount_helper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/proc_path.h"
#include "fs/foreign_mounts.h"
#include "fs/waiting_room.h"

namespace ckptfs {
namespace {

// What goes to the helper, in one packet: a mount point (token 0), or files to be stopped.
struct Request {
  uint64_t token = 0;
  uint64_t count = 0;
  std::array<NodeHandle, MountHelper::kFilesMax> files{};
  std::array<char, 4096> mountpoint{};
};

// A path below the mount root, to be looked at; the answer is the number. Number 0: the mount point.
struct NameRequest {
  uint64_t number = 0;
  std::array<char, 4096> path{};
};

// For the next checkpoint: these threads are most of what a stop costs.
constexpr std::chrono::seconds kThreadsKept{60};

// --- The child -----------------------------------------------------------------------------------

// Opens the mount's root if it is still what lies at its path: a call on another filesystem's file
// with that number would change it.
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

// The handle by which FUSE itself knows a node (fuse_encode_fh in the kernel's fs/fuse/inode.c):
// its number in two halves, then its generation.
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

// The calls of one stop. The last of its threads reports.
class Calls {
 public:
  Calls(int socket, uint64_t token, UniqueFd mount)
      : socket_(socket), token_(token), mount_(std::move(mount)) {}
  ~Calls() {
    mount_.Reset();
    const MountHelper::Report report{.token = token_, .error = error_};
    send(socket_, &report, sizeof(report), MSG_NOSIGNAL);  // nobody there: the end comes by itself
  }
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  // Returns when the daemon has answered.
  void Stop(const NodeHandle& file) {
    const UniqueFd fd = OpenNode(mount_.get(), file);
    if (!fd.valid()) return Note(errno);
    if (setxattr(ProcPath(fd.get()).c_str(), MountHelper::kXattrName, &token_, sizeof(token_), 0) !=
        0) {
      Note(errno);
    }
  }

 private:
  void Note(int error) {
    // The daemon's answer; files that have been closed and forgotten since; the mount's end.
    constexpr std::array kExpected = {MountHelper::kAnswer, ESTALE, ENOENT, ENOTCONN, ECONNABORTED};
    if (std::find(kExpected.begin(), kExpected.end(), error) == kExpected.end()) error_ = error;
  }

  const int socket_;
  const uint64_t token_;
  UniqueFd mount_;
  std::atomic<int> error_{0};
};

void StopAll(WaitingRoom& threads, int socket, const Request& request, const char* mountpoint,
             dev_t device) {
  UniqueFd mount = OpenMount(mountpoint, device);
  if (!mount.valid()) {
    const MountHelper::Report report{.token = request.token, .error = errno};
    send(socket, &report, sizeof(report), MSG_NOSIGNAL);
    return;
  }
  const auto calls = std::make_shared<Calls>(socket, request.token, std::move(mount));
  for (size_t i = 0; i < std::min<size_t>(request.count, request.files.size()); ++i) {
    threads.Post([calls, file = request.files[i]] { calls->Stop(file); });
  }
}

// False when the daemon's end of the socket is closed.
template <typename Message>
bool Receive(int socket, Message& message) {
  ssize_t size = -1;
  do {
    size = recv(socket, &message, sizeof(message), 0);
  } while (size < 0 && errno == EINTR);
  return size == sizeof(message);
}

// Serves until the daemon's end of the socket is closed.
[[noreturn]] void RunStops(int socket) {
  std::string mountpoint;
  dev_t device = 0;
  WaitingRoom threads(kThreadsKept);
  Request request;
  while (Receive(socket, request)) {
    if (request.token != 0) {
      StopAll(threads, socket, request, mountpoint.c_str(), device);
    } else {
      mountpoint = request.mountpoint.data();
      device = DeviceOfMount(mountpoint);
    }
  }
  _exit(0);
}

// Nothing is kept open, not even for the length of a call: the mount could not be unmounted.
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

// Keeps nothing of the daemon's open but the socket, least of all the pipe by which the command that
// mounts waits for its word.
[[noreturn]] void BecomeHelper(int socket, void (*run)(int)) {
  constexpr int kSocket = STDERR_FILENO + 1;
  if (dup2(socket, kSocket) < 0 || close_range(kSocket + 1, ~0U, 0) != 0) _exit(1);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) _exit(1);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
  close(null);
  prctl(PR_SET_NAME, "ckptfs-helper");
  // Sent to the daemon's group or service: the daemon decides, and this ends with it.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_IGN);
  try {
    run(kSocket);
  } catch (const std::exception&) {  // no memory or no thread: the daemon notices that it is gone
  }
  _exit(1);
}

// What arrives before the deadline.
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

// Its process and the daemon's end of its socket.
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

MountHelper::~MountHelper() {
  socket_.Reset();
  names_socket_.Reset();
  for (const pid_t pid : {pid_, names_pid_}) {
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

void MountHelper::SetMountpoint(const std::string& mountpoint) {
  auto request = std::make_unique<Request>();
  if (mountpoint.size() >= request->mountpoint.size()) return;  // Start will say why
  std::copy(mountpoint.begin(), mountpoint.end(), request->mountpoint.begin());
  send(socket_.get(), request.get(), sizeof(Request), MSG_NOSIGNAL);
  NameRequest names;
  std::copy(mountpoint.begin(), mountpoint.end(), names.path.begin());
  send(names_socket_.get(), &names, sizeof(names), MSG_NOSIGNAL);
}

bool MountHelper::Start(uint64_t token, const std::vector<NodeHandle>& files) {
  auto request = std::make_unique<Request>();
  request->token = token;
  request->count = std::min(files.size(), kFilesMax);
  std::copy_n(files.begin(), request->count, request->files.begin());
  // Never waits: a helper that does not take its requests is as good as gone.
  return send(socket_.get(), request.get(), sizeof(Request), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         sizeof(Request);
}

std::optional<MountHelper::Report> MountHelper::Receive(
    std::chrono::steady_clock::time_point deadline) {
  return ReceiveBefore<Report>(socket_.get(), deadline);
}

void MountHelper::LookUp(const std::string& name, std::chrono::milliseconds time_max) {
  const auto deadline = std::chrono::steady_clock::now() + time_max;
  NameRequest request;
  if (name.size() >= request.path.size()) return;
  std::copy(name.begin(), name.end(), request.path.begin());
  const std::lock_guard lock(names_mutex_);
  request.number = ++names_asked_;
  if (send(names_socket_.get(), &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT) !=
      sizeof(request)) {
    return;
  }
  // An answer that came too late for who asked is in the way.
  while (const auto answered = ReceiveBefore<uint64_t>(names_socket_.get(), deadline)) {
    if (*answered == request.number) return;
  }
}

}  // namespace ckptfs
