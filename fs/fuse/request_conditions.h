// Which requests a row of the table of operations is for (fuse_operations.cc), and what its verbs change. Each is
// given a request and its arguments.
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

// The directory is one that no volume holds.
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

// A rename that can mean a rollback, a fork or a new name of a snapshot.
struct RenameIsVerb {
  static bool Holds(fuse_req_t request, NodeId parent, const ArgumentText& name, NodeId new_parent,
                    const ArgumentText& new_name, unsigned int flags);
};

// A rename in or out of a list of snapshots, or a snapshot.
struct RenameIsListed {
  static bool Holds(fuse_req_t request, NodeId parent, const ArgumentText& name, NodeId new_parent,
                    const ArgumentText& new_name, unsigned int flags);
};

// By attributes the kernel finds out who may search a directory.
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

// A snapshot's or a list's.
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

// The kernel may hold pages of the file that a mapping has stored to.
struct PagesAreHeld {
  static bool Holds(fuse_req_t request, NodeId node, const auto&... /*others*/) {
    return HandlersOf(request).mount.pages.Holds(node);
  }
};

// The same of the file that is copied to.
struct TargetsPagesAreHeld {
  static bool Holds(fuse_req_t request, NodeId /*from*/, off_t /*from_offset*/,
                    const AskedFile& /*in*/, NodeId to, const auto&... /*others*/) {
    return HandlersOf(request).mount.pages.Holds(to);
  }
};

// It gives a file capabilities, which a write takes away.
struct CapabilitiesMeetHeldPages {
  static bool Holds(fuse_req_t request, NodeId node, const ArgumentText& name,
                    const auto&... /*others*/) {
    return name.view() == XATTR_NAME_CAPS && HandlersOf(request).mount.pages.Holds(node);
  }
};

// The call of the mount's helper by which a checkpoint keeps writers out of a file.
struct CallStopsWrites {
  static bool Holds(fuse_req_t /*request*/, NodeId /*node*/, const ArgumentText& name,
                    const auto&... /*others*/) {
    return name.view() == BarrierCalls::kXattrName;
  }
};

// A snapshot's sizes are computed when they are asked for.
struct ValueIsComputed {
  static bool Holds(fuse_req_t /*request*/, NodeId /*node*/, const ArgumentText& name,
                    size_t /*room*/) {
    return IsSnapshotXattr(name.c_str());
  }
};

// Not what the kernel writes back: that is within what it takes for the file, and holds its page.
struct WriteLeavesGap {
  static bool Holds(fuse_req_t request, NodeId node, const ArgumentData& /*data*/, off_t offset,
                    const AskedFile& file) {
    return file.info.writepage == 0 && HandlersOf(request).files.LeavesGap(node, offset);
  }
};

// The kernel lets nobody write faster than the disk for long: whoever does so must not keep the only thread
// of a processor.
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

// Throws where that value could never be set: nobody waits for other verbs to be told so.
struct ChangesXattr {
  static VerbScope Of(fuse_req_t /*request*/, NodeId node, const ArgumentText& name,
                      const ArgumentBytes& value, int /*flags*/) {
    SnapshotTree::CheckXattr(node, name.c_str(), value.view());
    return {node, {}};
  }
};

}  // namespace ckptfs::fuse_conditions
