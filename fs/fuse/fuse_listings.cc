// The adapter's handler of requests for listings.
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/fuse/fuse_handlers.h"
#include "fs/fuse/fuse_operations.h"

namespace ckptfs::fuse_handlers {

ListReply List(fuse_req_t request, NodeId node, size_t size, off_t offset,
               const AskedFile& /*file*/, Listed listed) {
  const bool with_attributes = listed == Listed::kNamesAndAttributes;
  FuseHandlers& handlers = HandlersOf(request);
  ListReply reply(request, size);
  const ListSink sink = [&](const ListedName& name) { return reply.Add(name, with_attributes); };
  if (IsVirtual(node)) {
    handlers.snapshots.List(node, offset, with_attributes, sink);
  } else {
    handlers.files.List(node, offset, size, with_attributes, sink);
  }
  return reply;
}

}  // namespace ckptfs::fuse_handlers
