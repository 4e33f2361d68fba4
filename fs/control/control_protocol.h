// How `ckpt` talks to the daemon: through a hidden file in the filesystem itself.
//
// The file kControlName (catalog/trees/names.h) is in the mount root and in the root of every workspace, but
// never listed. So a container that sees only the workspace can use it, and the kernel itself checks access:
// the file has the owner, group, ACL and read and write permissions of its directory (never execute). The one
// in the mount root may be read by everybody, and written by those who may make workspaces there. A
// descriptor for reading allows queries. Changes need a descriptor for reading and writing, and are limited
// to the scope of that file: that workspace, or the whole mount. (A fork of a workspace's snapshot is within
// its scope, although the new workspace is outside of it.)
//
// One exchange per descriptor: the request, a JSON object, is sent in pieces of at most kMaxChunkBytes with
// ControlAppend ioctls, then started with the ControlRun ioctl. read(2) then returns the answer: JSON
// objects, one per line, as they come (a read waits for the next), then end of file. An empty line means
// nothing. Closing the descriptor early does not stop a change that has begun, except for an import; a query
// is cancelled. fs/control/control_wire.h has the commands.
//
//   {"progress": {"done_bytes": N, "total_bytes": N, ...}}   (any number)
//   {"items": [...]}     (parts of a long listing, any number, before its result)
//   {"result": ...}      (the last line, on success)
//   {"error": {"errno": N, "message": "...", "why": "...", "hint": "..."}}   (on failure)
//
// A string that is not valid UTF-8 (a file's name in a diff) is sent as {"bytes": [N, ...]}, the values of
// its bytes, instead of a JSON string.
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
