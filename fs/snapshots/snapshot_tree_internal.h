// Shared by the source files of SnapshotTree.
#pragma once

#include <cerrno>
#include <string>

#include "backend/base/error.h"
#include "fs/nodes/node_id.h"

namespace ckptfs {

// The database id that a virtual node stands for.
inline uint64_t IdOf(NodeId node) { return VirtualPayloadOf(node); }

inline Error NoSuchName(const char* name) { return Error(ENOENT, std::string("find ") + name); }

inline Error NotServed(const char* what) {
  return Error(EPERM, what, "this is not a place for it",
               "In .snapshots only mkdir, rmdir and the renames of ckptfs(7) do something");
}

}  // namespace ckptfs
