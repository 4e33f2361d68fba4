#include "fs/write_stop_helper.h"

#include <fcntl.h>
#include <libmount/libmount.h>
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
#include <system_error>

#include "backend/base/error.h"
#include "backend/base/proc_path.h"
#include "fs/waiting_room.h"

namespace ckptfs {
namespace {

// What goes to the helper, in one packet: a mount point (token 0), or files to be stopped.
struct Request {
  uint64_t token = 0;
  uint64_t count = 0;
  std::array<NodeId, WriteStopHelper::kFilesMax> nodes{};
  std::array<char, 4096> mountpoint{};
};

// For the next checkpoint: these threads are most of what a stop costs.
constexpr std::chrono::seconds kThreadsKept{60};

// --- The child -----------------------------------------------------------------------------------

// The device number of the topmost mount at that path, as the table of mounts has it: to look at the
// mount itself would need its daemon.
dev_t DeviceOfMount(const char* mountpoint) {
  const std::unique_ptr<libmnt_table, void (*)(libmnt_table*)> table(
      mnt_new_table_from_file("/proc/self/mountinfo"), mnt_unref_table);
  if (!table) return 0;
  libmnt_fs* fs = mnt_table_find_target(table.get(), mountpoint, MNT_ITER_BACKWARD);
  return fs == nullptr ? 0 : mnt_fs_get_devno(fs);
}

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
// its number in two halves, then its generation, which is 0 for what is no directory.
UniqueFd OpenNode(int mount_fd, NodeId node) {
  constexpr int kNodeAndGeneration = 0x81;
  const std::array words = {static_cast<uint32_t>(node >> 32), static_cast<uint32_t>(node), 0U};
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
    const WriteStopHelper::Report report{.token = token_, .error = error_};
    send(socket_, &report, sizeof(report), MSG_NOSIGNAL);  // nobody there: the end comes by itself
  }
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  // Returns when the daemon has answered.
  void Stop(NodeId node) {
    const UniqueFd fd = OpenNode(mount_.get(), node);
    if (!fd.valid()) return Note(errno);
    if (setxattr(ProcPath(fd.get()).c_str(), WriteStopHelper::kXattrName, &token_, sizeof(token_),
                 0) != 0) {
      Note(errno);
    }
  }

 private:
  void Note(int error) {
    // The daemon's answer; files that have been closed and forgotten since; the mount's end.
    constexpr std::array kExpected = {WriteStopHelper::kAnswer, ESTALE, ENOENT, ENOTCONN,
                                      ECONNABORTED};
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
    const WriteStopHelper::Report report{.token = request.token, .error = errno};
    send(socket, &report, sizeof(report), MSG_NOSIGNAL);
    return;
  }
  const auto calls = std::make_shared<Calls>(socket, request.token, std::move(mount));
  for (size_t i = 0; i < std::min<size_t>(request.count, request.nodes.size()); ++i) {
    threads.Post([calls, node = request.nodes[i]] { calls->Stop(node); });
  }
}

// Serves until the daemon's end of the socket is closed.
[[noreturn]] void RunHelper(int socket) {
  prctl(PR_SET_NAME, "ckptfs-writes");
  // Sent to the daemon's group or service: the daemon decides, and this ends with it.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_IGN);
  Request request;
  std::string mountpoint;
  dev_t device = 0;
  WaitingRoom threads(kThreadsKept);
  while (true) {
    const ssize_t size = recv(socket, &request, sizeof(request), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size != sizeof(request)) _exit(0);
    try {
      if (request.token != 0) {
        StopAll(threads, socket, request, mountpoint.c_str(), device);
      } else {
        mountpoint = request.mountpoint.data();
        device = DeviceOfMount(mountpoint.c_str());
      }
    } catch (const std::exception&) {
      _exit(1);  // no memory or no thread: the daemon notices that it is gone
    }
  }
}

// Keeps nothing of the daemon's open but `socket`, least of all the pipe by which the command that
// mounts waits for its word.
[[noreturn]] void BecomeHelper(int socket) {
  constexpr int kSocket = STDERR_FILENO + 1;
  if (dup2(socket, kSocket) < 0 || close_range(kSocket + 1, ~0U, 0) != 0) _exit(1);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) _exit(1);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
  close(null);
  RunHelper(kSocket);
}

}  // namespace

// --- The daemon's side -----------------------------------------------------------------------------

WriteStopHelper::WriteStopHelper() {
  std::array<int, 2> ends{};
  CheckSyscall(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()),
               "make a pair of sockets");
  socket_.Reset(ends[0]);
  UniqueFd child_end(ends[1]);
  pid_ = CheckSyscall(fork(), "start a helper process");
  if (pid_ == 0) BecomeHelper(child_end.get());
}

WriteStopHelper::~WriteStopHelper() {
  socket_.Reset();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void WriteStopHelper::SetMountpoint(const std::string& mountpoint) {
  auto request = std::make_unique<Request>();
  if (mountpoint.size() >= request->mountpoint.size()) return;  // Start will say why
  std::copy(mountpoint.begin(), mountpoint.end(), request->mountpoint.begin());
  send(socket_.get(), request.get(), sizeof(Request), MSG_NOSIGNAL);
}

bool WriteStopHelper::Start(uint64_t token, const std::vector<NodeId>& nodes) {
  auto request = std::make_unique<Request>();
  request->token = token;
  request->count = std::min(nodes.size(), kFilesMax);
  std::copy_n(nodes.begin(), request->count, request->nodes.begin());
  // Never waits: a helper that does not take its requests is as good as gone.
  return send(socket_.get(), request.get(), sizeof(Request), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         sizeof(Request);
}

std::optional<WriteStopHelper::Report> WriteStopHelper::Receive(
    std::chrono::steady_clock::time_point deadline) {
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd waiting{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return std::nullopt;
    Report report;
    if (recv(socket_.get(), &report, sizeof(report), MSG_DONTWAIT) != sizeof(report)) {
      return std::nullopt;
    }
    return report;
  }
}

}  // namespace ckptfs
