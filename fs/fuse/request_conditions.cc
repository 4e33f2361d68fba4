#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/fuse/request_conditions.h"

namespace ckptfs::fuse_conditions {

bool RenameIsVerb::Holds(fuse_req_t request, NodeId parent, const ArgumentText& name,
                         NodeId new_parent, const ArgumentText& new_name, unsigned int flags) {
  return SnapshotTree::IsVerb(parent, new_parent) &&
         RenameIsListed::Holds(request, parent, name, new_parent, new_name, flags);
}

bool RenameIsListed::Holds(fuse_req_t request, NodeId parent, const ArgumentText& name,
                           NodeId new_parent, const ArgumentText& new_name,
                           unsigned int /*flags*/) {
  const SnapshotTree& snapshots = HandlersOf(request).snapshots;
  return snapshots.Owns(parent) || snapshots.Owns(new_parent) ||
         snapshots.IsReserved(parent, name.c_str()) ||
         snapshots.IsReserved(new_parent, new_name.c_str());
}

fuse_handlers::WaitForNames NamesAreSettling::OfNode(fuse_req_t request, NodeId node) {
  const FuseHandlers& handlers = HandlersOf(request);
  // The process that settles the names cannot wait until they are settled.
  const bool settles = fuse_req_ctx(request)->pid == handlers.invalidation.helper.looker();
  fuse_handlers::WaitForNames wait{.stopped = settles ? nullptr : StoppedAt(handlers, node)};
  wait.is_needed = wait.stopped || handlers.invalidation.stale_names.Contains(node);
  return wait;
}

}  // namespace ckptfs::fuse_conditions
