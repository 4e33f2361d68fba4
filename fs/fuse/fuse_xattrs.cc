// The adapter's handlers of requests for extended attributes.
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include <linux/xattr.h>

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

#include "fs/fuse/fuse_handlers.h"
#include "fs/fuse/fuse_operations.h"

namespace ckptfs::fuse_handlers {
namespace {

// The errno for a missing attribute. `ls -l` requests each file's label, which costs a request to the daemon
// every time; told that labels are not supported, the kernel asks only once.
int NoSuchXattr(const FuseHandlers& handlers, std::string_view name) {
  return name == XATTR_NAME_SELINUX && !handlers.has_selinux ? EOPNOTSUPP : ENODATA;
}

}  // namespace

std::variant<XattrValue, Failed> GetXattr(fuse_req_t request, NodeId node, const ArgumentText& name,
                                          size_t room) {
  FuseHandlers& handlers = HandlersOf(request);
  std::optional<std::string> value = handlers.snapshots.Owns(node)
                                         ? handlers.snapshots.GetXattr(node, name.c_str())
                                         : handlers.files.GetXattr(node, name.c_str());
  if (!value) return Failed{NoSuchXattr(handlers, name.view())};
  return XattrValue{*std::move(value), room};
}

XattrValue ListXattrs(fuse_req_t request, NodeId node, size_t room) {
  FuseHandlers& handlers = HandlersOf(request);
  return {handlers.snapshots.Owns(node) ? handlers.snapshots.ListXattrs(node)
                                        : handlers.files.ListXattrs(node),
          room};
}

Done SetXattr(fuse_req_t request, NodeId node, const ArgumentText& name, const ArgumentBytes& value,
              int flags, Pages pages) {
  HandlersOf(request).files.SetXattr(node, name.c_str(), value.view(), flags, CallerOf(request),
                                     InGroupsOf(request), pages == Pages::kHeld);
  return {};
}

Done SetListedXattr(fuse_req_t request, NodeId node, const ArgumentText& name,
                    const ArgumentBytes& value, int flags) {
  HandlersOf(request).snapshots.SetXattr(
      node, SnapshotTree::CheckXattr(node, name.c_str(), value.view()), flags, AskerOf(request));
  return {};
}

AnsweredElsewhere StopWrites(fuse_req_t request, NodeId node, const ArgumentText& name,
                             const ArgumentBytes& /*value*/, int /*flags*/) {
  HandlersOf(request).barrier.Park(node, name.view(), [request, ring = RingThread::Current()] {
    const AnswersFor answers(ring);
    ReplyError(request, MountHelper::kAnswer);
  });
  return {};
}

Done RemoveXattr(fuse_req_t request, NodeId node, const ArgumentText& name) {
  FuseHandlers& handlers = HandlersOf(request);
  if (handlers.snapshots.Owns(node)) {
    handlers.snapshots.RemoveXattr(node, name.c_str());
  } else {
    handlers.files.RemoveXattr(node, name.c_str());
  }
  return {};
}

}  // namespace ckptfs::fuse_handlers
