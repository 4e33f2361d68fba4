#include "backend/btrfs/send_stream.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"
#include "backend/btrfs/btrfs_util.h"

namespace ckptfs {
namespace {

// The stream format, all little-endian:
//   header     magic with its NUL, u32 version
//   command    u32 length of the attributes, u16 operation, u32 checksum, attributes
//   attribute  u16 type, u16 length, value
constexpr std::string_view kStreamMagic("btrfs-stream\0", 13);
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderSize = kStreamMagic.size() + sizeof(uint32_t);
constexpr size_t kCommandHeaderSize = 10;
constexpr size_t kAttributeHeaderSize = 4;

// The kernel builds a version 1 command in a buffer of 64 KiB.
constexpr size_t kMaxCommandSize = size_t{64} << 10;
constexpr size_t kReadSize = size_t{64} << 10;

enum Attribute : uint16_t { kPath = 15, kPathTo = 16, kPathLink = 17 };

uint16_t ReadLe16(const char* bytes) {
  uint16_t value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return le16toh(value);
}

uint32_t ReadLe32(const char* bytes) {
  uint32_t value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return le32toh(value);
}

[[noreturn]] void ThrowGarbage(std::string_view why) {
  throw Error(EBADMSG, "read btrfs's send stream", why);
}

// The paths that an operation requires; a command without them is garbage.
struct NeededPaths {
  bool path = true;
  bool to = false;
  bool link = false;
};

NeededPaths PathsOf(SendOperation operation) {
  switch (operation) {
    case SendOperation::kEnd:
      return {.path = false};
    case SendOperation::kRename:
      return {.path = true, .to = true};
    case SendOperation::kLink:
      return {.path = true, .link = true};
    default:
      return {};
  }
}

void ParseAttributes(std::string_view attributes, SendCommand* command) {
  NeededPaths missing = PathsOf(command->operation);
  while (!attributes.empty()) {
    if (attributes.size() < kAttributeHeaderSize) ThrowGarbage("an attribute is cut short");
    const uint16_t type = ReadLe16(attributes.data());
    const size_t size = ReadLe16(attributes.data() + 2);
    attributes.remove_prefix(kAttributeHeaderSize);
    if (size > attributes.size()) ThrowGarbage("an attribute is longer than its command");
    const std::string_view value = attributes.substr(0, size);
    attributes.remove_prefix(size);
    if (type == kPath) {
      command->path = value;
      missing.path = false;
    } else if (type == kPathTo) {
      command->path_to = value;
      missing.to = false;
    } else if (type == kPathLink) {
      command->path_link = value;
      missing.link = false;
    } else {
      continue;
    }
    if (value.find('\0') != std::string_view::npos) ThrowGarbage("a path holds a NUL");
  }
  if (missing.path || missing.to || missing.link) ThrowGarbage("a command lacks a path");
}

// Blocks signals in threads created while this exists: they inherit the mask. A signal would end the kernel's
// call with EINTR in the middle of the stream, and a closed pipe would raise SIGPIPE.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_ = {};
};

}  // namespace

// If little has changed in a large volume, the kernel may be silent for long.
void SendStreamReader::Await() const {
  if (!while_waiting_) return;
  constexpr int kPatienceMs = 200;
  pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
  do {
    while_waiting_();
  } while (poll(&ready, 1, kPatienceMs) == 0);
}

const char* SendStreamReader::Take(size_t size) {
  if (buffer_.size() < std::max(size, kReadSize)) buffer_.resize(std::max(size, kReadSize));
  if (buffer_.size() - begin_ < size) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  while (end_ - begin_ < size) {
    Await();
    const ssize_t got = read(fd_, buffer_.data() + end_, buffer_.size() - end_);
    if (got < 0 && errno == EINTR) continue;
    if (CheckSyscall(got, "read btrfs's send stream") == 0) ThrowGarbage("it ends too early");
    end_ += static_cast<size_t>(got);
  }
  const char* taken = buffer_.data() + begin_;
  begin_ += size;
  return taken;
}

void SendStreamReader::ReadHeader() {
  const char* header = Take(kHeaderSize);
  if (std::string_view(header, kStreamMagic.size()) != kStreamMagic)
    ThrowGarbage("its first bytes are wrong");
  // Later versions write some attributes without a length: refuse to guess.
  if (ReadLe32(header + kStreamMagic.size()) != kVersion) ThrowGarbage("its version is not 1");
  header_read_ = true;
}

bool SendStreamReader::Next(SendCommand* command) {
  if (!header_read_) ReadHeader();
  const char* header = Take(kCommandHeaderSize);
  const size_t size = ReadLe32(header);
  const uint16_t operation = ReadLe16(header + 4);
  if (size > kMaxCommandSize) ThrowGarbage("a command is too long");
  if (operation < static_cast<uint16_t>(SendOperation::kSubvolume) ||
      operation > static_cast<uint16_t>(SendOperation::kUpdateExtent)) {
    ThrowGarbage("it holds an unknown command");
  }
  *command = SendCommand{.operation = static_cast<SendOperation>(operation)};
  ParseAttributes({Take(size), size}, command);
  return command->operation != SendOperation::kEnd;
}

void ForEachSendCommand(int older_root_fd, int newer_root_fd, WorkLimits& limits,
                        const std::function<void(const SendCommand&)>& sink) {
  btrfs_ioctl_send_args arguments = {};
  arguments.parent_root = SubvolumeId(older_root_fd);
  arguments.flags = BTRFS_SEND_FLAG_NO_FILE_DATA;

  int ends[2] = {-1, -1};
  CheckSyscall(pipe2(ends, O_CLOEXEC), "make a pipe for btrfs's send stream");
  UniqueFd write_end(ends[1]);
  arguments.send_fd = write_end.get();

  int send_errno = 0;
  // The reading end is declared after the thread, so in any case it is closed first: if the kernel still
  // writes it gets EPIPE, and the thread can be joined.
  std::jthread sender;
  UniqueFd read_end(ends[0]);
  {
    const SignalsBlocked signals_blocked;
    sender = std::jthread([&arguments, &write_end, &send_errno, newer_root_fd] {
      if (ioctl(newer_root_fd, BTRFS_IOC_SEND, &arguments) < 0) send_errno = errno;
      write_end.Reset();  // the reader sees the end
    });
  }
  try {
    SendStreamReader reader(read_end.get(), [&limits] { limits.RequireWanted(); });
    SendCommand command;
    while (reader.Next(&command)) sink(command);
  } catch (const Error&) {
    // A stream that the kernel aborted looks like garbage; the kernel's errno explains it.
    read_end.Reset();
    sender.join();
    if (send_errno == 0 || send_errno == EPIPE) throw;
  }
  read_end.Reset();
  if (sender.joinable()) sender.join();
  if (send_errno != 0) throw Error(send_errno, "compare two subvolumes by btrfs's send");
}

}  // namespace ckptfs
