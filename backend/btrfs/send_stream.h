// The kernel's list of what differs between two subvolumes (BTRFS_IOC_SEND), command by command.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/base/work_limits.h"

namespace ckptfs {

// The commands of protocol version 1, numbered as in the kernel's fs/btrfs/send.h.
enum class SendOperation : uint16_t {
  kSubvolume = 1,
  kSnapshot = 2,
  kMakeFile = 3,
  kMakeDirectory = 4,
  kMakeNode = 5,
  kMakeFifo = 6,
  kMakeSocket = 7,
  kMakeSymlink = 8,
  kRename = 9,
  kLink = 10,
  kUnlink = 11,
  kRemoveDirectory = 12,
  kSetXattr = 13,
  kRemoveXattr = 14,
  kWrite = 15,
  kClone = 16,
  kTruncate = 17,
  kChangeMode = 18,
  kChangeOwner = 19,
  kSetTimes = 20,
  kEnd = 21,
  kUpdateExtent = 22,
};

// One command, reduced to what a comparison of trees needs: which paths it is about. Paths are
// relative to the subvolume's root ("" is the root itself), at the time of the command. The views
// point into the reader's buffer and live until its next call.
struct SendCommand {
  SendOperation operation = SendOperation::kEnd;
  std::string_view path;
  std::string_view path_to;    // kRename: the new path
  std::string_view path_link;  // kLink: a path that the file has already
};

// Cuts a send stream into commands. Keeps one buffer of at most a command's length, whatever the
// stream's. Trusts nothing in the stream: every length is checked, and what does not fit throws
// Error(EBADMSG). The checksums are not looked at, as the kernel's pipe loses nothing.
//
// Does not own `fd`. For one thread.
class SendStreamReader {
 public:
  // `while_waiting` is called while nothing comes, several times a second, and may throw.
  explicit SendStreamReader(int fd, std::function<void()> while_waiting = {})
      : fd_(fd), while_waiting_(std::move(while_waiting)) {}

  // The next command, or false at the stream's end command. What follows that is not read.
  bool Next(SendCommand* command);

 private:
  // Makes `size` bytes available at once; throws if the stream ends before.
  const char* Take(size_t size);
  void ReadHeader();
  void Await() const;

  int fd_;
  std::function<void()> while_waiting_;
  bool header_read_ = false;
  std::vector<char> buffer_;
  size_t begin_ = 0;  // of what is read and not yet taken
  size_t end_ = 0;
};

// Lets the kernel compare two read-only subvolumes of one filesystem and calls `sink` with each
// command that leads from `older` to `newer`, in order, in the calling thread (the kernel works
// in another, which is gone on return). File data is not sent. Throws Error with what the kernel
// said, what the limits say, or what `sink` threw. While it runs, neither subvolume can be deleted (EPERM).
void ForEachSendCommand(int older_root_fd, int newer_root_fd, WorkLimits& limits,
                        const std::function<void(const SendCommand&)>& sink);

}  // namespace ckptfs
