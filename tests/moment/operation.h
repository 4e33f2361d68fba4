// One system call of a writer with a known order of operations.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace ckptfs::moment {

// The kinds of operations. Each is exactly one system call (kStore is one store to memory), so that every
// state of a tree is the one after some number of operations.
enum class Kind {
  kOpen,      // path, `flags`; `handle` denotes the file from then on
  kClose,     // handle
  kWrite,     // handle, `size` bytes at `offset`
  kAppend,    // handle that was opened with O_APPEND, `size` bytes
  kTruncate,  // handle, to `size`
  kRename,    // path to other
  kExchange,  // path and other
  kUnlink,    // path
  kLink,      // path, as other
  kSymlink,   // path, which points to other
  kMkdir,     // path
  kRmdir,     // path
  kChmod,     // path, `mode`
  kSetXattr,  // path; the value is the operation's number
  kSetTime,   // path; mtime becomes the operation's number, in seconds
  kMap,       // handle, its whole content, shared and writable
  kStore,     // handle that is mapped: the word at `offset` becomes the operation's number
  kSync,      // handle that is mapped: msync(MS_ASYNC)
  kUnmap,     // handle
};

struct Operation {
  Kind kind = Kind::kOpen;
  std::string path;   // relative to the writer's directory
  std::string other;  // likewise
  int handle = -1;
  int flags = 0;
  mode_t mode = 0;
  off_t offset = 0;
  size_t size = 0;
};

// The mode of every created file, regardless of the umask.
inline constexpr mode_t kFileMode = 0644;
inline constexpr mode_t kDirectoryMode = 0755;
inline constexpr char kXattrName[] = "user.moment";

// What operation `number` of writer `writer` writes: bytes that identify the writer and the number.
std::string Content(int writer, uint64_t number, size_t size);

// For messages: "write 300 bytes at 4096 to handle 2".
std::string Describe(const Operation& operation);

}  // namespace ckptfs::moment
