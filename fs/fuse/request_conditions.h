// Conditions of rows in the table of operations (fuse_operations.cc), and what its verbs change. Each gets a
// request and its arguments.
#pragma once

#include <fcntl.h>
#include <linux/xattr.h>

#include "fs/fuse/fuse_handlers.h"
#include "fs/fuse/fuse_operations.h"
#include "fs/fuse/fuse_replies.h"
#include "fs/fuse/fuse_request.h"
#include "fs/fuse/kept_arguments.h"
#include "fs/fuse/run_class.h"
#include "fs/snapshots/snapshot_xattrs.h"

namespace ckptfs::fuse_conditions {

// The directory is outside volumes.
struct ParentIsVirtual {
  static bool Holds(fuse_req_t /*request*/, NodeId parent, const auto&... /*others*/) {
    return IsVirtual(parent);
  }
};

struct NameIsDot {
  static bool Holds(fuse_req_t /*request*/, NodeId /*parent*/, const ArgumentText& name) {
    return name.view() == ".";
  }
};

struct NameIsDotDot {
  static bool Holds(fuse_req_t /*request*/, NodeId /*parent*/, const ArgumentText& name) {
    return name.view() == "..";
  }
};

// A rename that may be a rollback, a fork or the renaming of a snapshot.
struct RenameIsVerb {
  static bool Holds(fuse_req_t request, NodeId parent, const ArgumentText& name, NodeId new_parent,
                    const ArgumentText& new_name, unsigned int flags);
};

// A rename into or out of a list of snapshots, or of a snapshot.
struct RenameIsListed {
  static bool Holds(fuse_req_t request, NodeId parent, const ArgumentText& name, NodeId new_parent,
                    const ArgumentText& new_name, unsigned int flags);
};

// The kernel checks permission to search a directory by these attributes.
struct NamesAreSettling {
  static fuse_handlers::WaitForNames Holds(fuse_req_t request, NodeId node,
                                           const auto&... /*others*/) {
    return OfNode(request, node);
  }
  static fuse_handlers::WaitForNames OfNode(fuse_req_t request, NodeId node);
};

struct NodeIsMountRoot {
  static bool Holds(fuse_req_t /*request*/, NodeId node, const auto&... /*others*/) {
    return node == kMountRootNode;
  }
};

// The node is a snapshot's or a list's.
struct NodeIsListed {
  static bool Holds(fuse_req_t request, NodeId node, const auto&... /*others*/) {
    return HandlersOf(request).snapshots.Owns(node);
  }
};

struct NodeIsControl {
  static bool Holds(fuse_req_t request, NodeId node, const auto&... /*others*/) {
    return HandlersOf(request).snapshots.ControlScope(node).has_value();
  }
};

// The kernel may hold pages with stores from a mapping of the file.
struct PagesAreHeld {
  static bool Holds(fuse_req_t request, NodeId node, const auto&... /*others*/) {
    return HandlersOf(request).open.pages.Holds(node);
  }
};

// The same for the destination of the copy.
struct TargetsPagesAreHeld {
  static bool Holds(fuse_req_t request, NodeId /*from*/, off_t /*from_offset*/,
                    const AskedFile& /*in*/, NodeId to, const auto&... /*others*/) {
    return HandlersOf(request).open.pages.Holds(to);
  }
};

// Sets file capabilities, which the writeback of held pages would remove.
struct CapabilitiesMeetHeldPages {
  static bool Holds(fuse_req_t request, NodeId node, const ArgumentText& name,
                    const auto&... /*others*/) {
    return name.view() == XATTR_NAME_CAPS && HandlersOf(request).open.pages.Holds(node);
  }
};

// The call of the mount's helper that blocks writes to a file for a checkpoint.
struct CallStopsWrites {
  static bool Holds(fuse_req_t /*request*/, NodeId /*node*/, const ArgumentText& name,
                    const auto&... /*others*/) {
    return name.view() == BarrierCalls::kXattrName;
  }
};

// A snapshot's sizes, which are computed on request.
struct ValueIsComputed {
  static bool Holds(fuse_req_t /*request*/, NodeId /*node*/, const ArgumentText& name,
                    size_t /*room*/) {
    return IsSnapshotXattr(name.c_str());
  }
};

// Not for writeback: that stays within the file's size as the kernel knows it, and holds its page.
struct WriteLeavesGap {
  static bool Holds(fuse_req_t request, NodeId node, const ArgumentData& /*data*/, off_t offset,
                    const AskedFile& file) {
    return file.info.writepage == 0 && HandlersOf(request).files.LeavesGap(node, offset);
  }
};

// The kernel throttles a writer that is faster than the disk: it must not occupy the only thread of a
// processor.
struct WriteMayWait {
  static bool Holds(fuse_req_t request, NodeId /*node*/, const ArgumentData& /*data*/,
                    off_t /*offset*/, const AskedFile& file) {
    return IsSynchronous(file) || fuse_req_is_uring(request);
  }
};

struct ChangesNode {
  static VerbScope Of(fuse_req_t /*request*/, NodeId node, const auto&... /*others*/) {
    return {node, {}};
  }
};

struct ChangesName {
  static VerbScope Of(fuse_req_t /*request*/, NodeId parent, const ArgumentText& name,
                      const auto&... /*others*/) {
    return {parent, {{parent, name.c_str()}}};
  }
};

struct ChangesTwoNames {
  static VerbScope Of(fuse_req_t /*request*/, NodeId parent, const ArgumentText& name,
                      NodeId new_parent, const ArgumentText& new_name, unsigned int /*flags*/) {
    return {SnapshotTree::ListOf(parent, new_parent),
            {{parent, name.c_str()}, {new_parent, new_name.c_str()}}};
  }
};

// Throws at once if that value could never be set, without waiting for other verbs.
struct ChangesXattr {
  static VerbScope Of(fuse_req_t /*request*/, NodeId node, const ArgumentText& name,
                      const ArgumentBytes& value, int /*flags*/) {
    SnapshotTree::CheckXattr(node, name.c_str(), value.view());
    return {node, {}};
  }
};

}  // namespace ckptfs::fuse_conditions
