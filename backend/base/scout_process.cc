#include "backend/base/scout_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

extern "C" {  // glibc 2.36 lacks it in the header
#include <sys/pidfd.h>
}

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <string>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

constexpr int kSocket = STDERR_FILENO + 1;  // in the children

// The nursery's message about a scout, with two descriptors.
struct Announcement {
  uint64_t slot = 0;
  pid_t pid = -1;  // -1: it could not be created, and there are no descriptors
};
constexpr size_t kSentFds = 2;

union FdMessage {
  cmsghdr header;
  std::array<char, CMSG_SPACE(kSentFds * sizeof(int))> bytes;
};

// --- A scout -------------------------------------------------------------------------------------------

class ServingScout final : public Scout {
 public:
  explicit ServingScout(std::atomic<uint64_t>& place) : place_(place) {}
  void LookAt(uint64_t place) override { place_ = place; }
  void Report(std::string bytes) override {
    SendNumber(bytes.size());
    SendAll(bytes);
  }
  void End(uint64_t how) { SendNumber(how); }

 private:
  static void SendNumber(uint64_t number) {
    SendAll({reinterpret_cast<const char*>(&number), sizeof(number)});
  }
  static void SendAll(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(kSocket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) _exit(0);  // nobody listens any longer
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }

  std::atomic<uint64_t>& place_;
};

bool ReceiveAll(void* buffer, size_t size) {
  return recv(kSocket, buffer, size, MSG_WAITALL) == static_cast<ssize_t>(size);
}

[[noreturn]] void RunScout(std::atomic<uint64_t>& place) {
  ServingScout scout(place);
  ScoutRequest request;
  std::string text;
  while (ReceiveAll(&request, sizeof(request))) {
    text.resize(request.size);
    if (request.size != 0 && !ReceiveAll(text.data(), text.size())) break;
    uint64_t end = kTaskFailed;
    try {
      request.task(scout, text);
      end = kTaskDone;
    } catch (const std::exception&) {  // its end tells the parent
    }
    scout.End(end);
  }
  _exit(0);
}

// --- The nursery ---------------------------------------------------------------------------------------

// Keeps only the socket open: not the caller's pipes, and no directory that could then not be unmounted.
void KeepOnlySocket(int socket) {
  if (socket != kSocket && dup2(socket, kSocket) < 0) _exit(1);
  if (close_range(kSocket + 1, ~0U, 0) != 0 || chdir("/") != 0) _exit(1);
}

void SendScout(const Announcement& announcement, const std::array<int, kSentFds>& fds) {
  iovec data{.iov_base = const_cast<Announcement*>(&announcement), .iov_len = sizeof(announcement)};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  FdMessage control{};
  if (announcement.pid > 0) {
    message.msg_control = control.bytes.data();
    message.msg_controllen = control.bytes.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(fds));
    std::memcpy(CMSG_DATA(header), fds.data(), sizeof(fds));
  }
  if (sendmsg(kSocket, &message, MSG_NOSIGNAL) < 0) _exit(1);
}

void MakeScout(uint64_t slot, ScoutPlaces& places) {
  Announcement announcement{.slot = slot};
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return SendScout(announcement, {});
  }
  const UniqueFd ours(ends[0]);
  const UniqueFd childs(ends[1]);
  const pid_t nursery = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != nursery) _exit(0);
    KeepOnlySocket(childs.get());
    RunScout(places.at(slot));
  }
  const UniqueFd process(pid < 0 ? -1 : pidfd_open(pid, 0));
  if (process.valid()) announcement.pid = pid;
  SendScout(announcement, {ours.get(), process.get()});
}

[[noreturn]] void RunNursery(int socket, ScoutPlaces& places) {
  KeepOnlySocket(socket);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) _exit(1);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
  close(null);
  prctl(PR_SET_NAME, "ckptfs-scout");
  // These are sent to the daemon's group or service: the daemon decides, and this process ends with it.
  // SIGCHLD: exited scouts leave no zombies.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) std::signal(signal, SIG_IGN);
  uint64_t slot = 0;
  while (recv(kSocket, &slot, sizeof(slot), 0) == sizeof(slot)) MakeScout(slot, places);
  _exit(0);
}

}  // namespace

// --- In the parent -------------------------------------------------------------------------------------

ScoutNursery StartScoutNursery(ScoutPlaces& places) {
  std::array<int, 2> ends{};
  CheckSyscall(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()),
               "make a pair of sockets");
  ScoutNursery nursery{.socket = UniqueFd(ends[0])};
  const UniqueFd childs(ends[1]);
  nursery.pid = CheckSyscall(fork(), "start a helper process");
  if (nursery.pid == 0) RunNursery(childs.get(), places);
  return nursery;
}

bool OrderScout(const ScoutNursery& nursery, uint64_t slot) {
  return send(nursery.socket.get(), &slot, sizeof(slot), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         sizeof(slot);
}

std::optional<ScoutProcess> ReceiveScout(const ScoutNursery& nursery,
                                         Scouts::Clock::time_point deadline) {
  pollfd waiting{.fd = nursery.socket.get(), .events = POLLIN, .revents = 0};
  if (poll(&waiting, 1, MillisecondsUntil(deadline)) <= 0) return std::nullopt;
  Announcement announcement;
  iovec data{.iov_base = &announcement, .iov_len = sizeof(announcement)};
  FdMessage control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  if (recvmsg(nursery.socket.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) !=
      sizeof(announcement)) {
    return std::nullopt;
  }
  ScoutProcess scout{.slot = announcement.slot, .pid = announcement.pid};
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    std::array<int, kSentFds> fds{};
    std::memcpy(fds.data(), CMSG_DATA(header), sizeof(fds));
    scout.socket.Reset(fds[0]);
    scout.process.Reset(fds[1]);
  }
  return scout;
}

int MillisecondsUntil(Scouts::Clock::time_point deadline) {
  constexpr int64_t kMax = 60'000;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Scouts::Clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 1, kMax));
}

}  // namespace ckptfs
