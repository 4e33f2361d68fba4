// How `ckpt` talks to the daemon: through a hidden file in the filesystem itself.
//
// The file kControlName (catalog/trees/names.h) is found in the mount root and in the root of every
// workspace, though never listed. So a container that sees only the workspace can use it, and the
// kernel itself checks who may: the file has the owner, group, ACL and read and write permissions
// of the directory that it stands in (never execute), but for the mount root's, which is root's to write
// whoever may make workspaces there. Whoever can open it for reading may ask; only a descriptor opened
// for reading and writing may change anything, and only within the scope of that file: that workspace, or
// the whole mount. (A fork of a workspace's snapshot is within its scope, though what it makes stands beside
// it.)
//
// One exchange a descriptor: the request, a JSON object, is handed over in pieces of at most
// kMaxChunkBytes with ControlAppend ioctls, then started with the ControlRun ioctl. read(2) then
// gives the answer: JSON objects, one a line, as they come (a read waits for the next), then end
// of file. An empty line means nothing. Closing the descriptor early does not stop a change that has begun, but for
// an import; what only asks ends soon. fs/control/control_wire.h has the commands.
//
//   {"progress": {"done_bytes": N, "total_bytes": N, ...}}   (any number)
//   {"items": [...]}     (parts of a long listing, any number, before its result)
//   {"result": ...}      (the last line, if it worked)
//   {"error": {"errno": N, "message": "...", "why": "...", "hint": "..."}}   (if it did not)
//
// A string that is no valid UTF-8 (a file's name in a diff) is sent as {"bytes": [N, ...]}, the
// values of its bytes, in place of the JSON string.
#pragma once

#include <linux/ioctl.h>

#include <cstddef>

namespace ckptfs {

inline constexpr unsigned int kControlIoctlType = 'K';
inline constexpr unsigned int kControlAppendNumber = 0xC0;
inline constexpr unsigned int kControlRunNumber = 0xC1;
inline constexpr size_t kMaxChunkBytes = 8192;  // an ioctl's size field has 14 bits
inline constexpr size_t kMaxRequestBytes = size_t{1} << 20;

// The command for one piece; the argument points to `bytes` bytes.
constexpr unsigned int ControlAppend(size_t bytes) {
  return _IOC(_IOC_WRITE, kControlIoctlType, kControlAppendNumber,
              static_cast<unsigned int>(bytes));
}
inline constexpr unsigned int kControlRun =
    _IOC(_IOC_NONE, kControlIoctlType, kControlRunNumber, 0);

}  // namespace ckptfs
