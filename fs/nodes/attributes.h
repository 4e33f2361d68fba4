// What the kernel is told about files.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "fs/nodes/node_id.h"

namespace ckptfs {

struct Attributes {
  struct stat stat {};
  double timeout_s = 0;  // how long the kernel may cache them
};

// A name that was found or made. With it the kernel gets one lookup reference on `node`; if the reply never
// reaches the kernel, that reference has to be dropped (FileTree::Forget).
struct Entry {
  NodeId node = 0;  // 0: there is no such name
  uint32_t generation = 0;
  Attributes attributes;
  double entry_timeout_s = 0;
};

// What setattr is to change. A field counts only if its flag is set.
struct AttributeChange {
  bool set_mode = false, set_uid = false, set_gid = false, set_size = false;
  // ftruncate(2) always sets the times, truncate(2) only if the size changes.
  bool by_descriptor = false;
  bool keep_set_id = false;  // the caller may truncate without losing set-id bits (CAP_FSETID)
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  off_t size = 0;
  timespec atime{0, UTIME_OMIT};  // as utimensat(2) takes them
  timespec mtime{0, UTIME_OMIT};
};

inline bool HasSetId(mode_t mode) { return (mode & (S_ISUID | S_ISGID)) != 0; }

// Copies what stat(2) shows; the inode number becomes `number`.
struct stat StatOf(const struct statx& from, uint64_t number);

// statx(2) of a descriptor, or of a name below it; symlinks are not followed. Throws Error.
struct statx StatxAt(int dir_fd, const char* name);
// The same for a name that may not be there; false then.
bool StatxIfThere(int dir_fd, const char* name, struct statx* result);

}  // namespace ckptfs
