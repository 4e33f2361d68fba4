// The kernel's list of differences between two subvolumes (BTRFS_IOC_SEND), command by command.
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

// One command, reduced to what a comparison of trees needs: the paths concerned. Paths are relative to the
// subvolume's root ("" is the root itself), as of the time of the command. The views point into the reader's
// buffer and are valid until its next call.
struct SendCommand {
  SendOperation operation = SendOperation::kEnd;
  std::string_view path;
  std::string_view path_to;    // kRename: the new path
  std::string_view path_link;  // kLink: an existing path of the file
};

// Splits a send stream into commands. Uses one buffer, at most as large as a command. Trusts nothing in the
// stream: every length is checked, and a violation throws Error(EBADMSG). Checksums are ignored, as the
// kernel's pipe loses nothing.
//
// Does not own `fd`. Used by one thread.
class SendStreamReader {
 public:
  // `while_waiting` is called several times a second while no data comes, and may throw.
  explicit SendStreamReader(int fd, std::function<void()> while_waiting = {})
      : fd_(fd), while_waiting_(std::move(while_waiting)) {}

  // Reads the next command; false at the stream's end command. What follows that is not read.
  bool Next(SendCommand* command);

 private:
  // Makes `size` contiguous bytes available; throws if the stream ends before.
  const char* Take(size_t size);
  void ReadHeader();
  void Await() const;

  int fd_;
  std::function<void()> while_waiting_;
  bool header_read_ = false;
  std::vector<char> buffer_;
  size_t begin_ = 0;  // of the data read and not yet taken
  size_t end_ = 0;
};

// Lets the kernel compare two read-only subvolumes of one filesystem and calls `sink` with each command that
// leads from `older` to `newer`, in order, in the calling thread (the kernel works in another thread, which
// has ended on return). File data is not sent. Throws Error with the kernel's errno, the errors of the
// limits, and exceptions of `sink`. While it runs, neither subvolume can be deleted (EPERM).
void ForEachSendCommand(int older_root_fd, int newer_root_fd, WorkLimits& limits,
                        const std::function<void(const SendCommand&)>& sink);

}  // namespace ckptfs
