// The adapter's handlers of requests for names.
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include <cerrno>
#include <string>

#include "backend/base/error.h"
#include "fs/fuse/fuse_handlers.h"
#include "fs/fuse/fuse_operations.h"
#include "fs/fuse/run_class.h"

namespace ckptfs::fuse_handlers {

void RefuseVirtual(NodeId parent, const char* what) {
  if (!IsVirtual(parent)) return;
  throw Error(EPERM, what, "only workspaces and snapshots can be made here", "Use mkdir");
}

Entry Lookup(fuse_req_t request, NodeId parent, const ArgumentText& name) {
  FuseHandlers& handlers = HandlersOf(request);
  if (handlers.snapshots.IsReserved(parent, name.c_str())) {
    return handlers.snapshots.LookupReserved(parent, name.c_str());
  }
  return IsVirtual(parent) ? handlers.snapshots.Lookup(parent, name.c_str())
                           : handlers.files.Lookup(parent, name.c_str());
}

Entry LookupItself(fuse_req_t request, NodeId node, const ArgumentText& /*name*/) {
  return HandlersOf(request).snapshots.FindAgain(node);
}

Entry LookupParent(fuse_req_t request, NodeId node, const ArgumentText& /*name*/) {
  return HandlersOf(request).snapshots.FindParent(node);
}

NoReply Forget(fuse_req_t request, NodeId node, uint64_t lookups) {
  if (!IsVirtual(node)) HandlersOf(request).files.Forget(node, lookups);
  return {};
}

// A failure for one node does not prevent the others from being forgotten.
NoReply ForgetMany(fuse_req_t request, std::span<const fuse_forget_data> forgets) {
  for (const fuse_forget_data& forget : forgets) {
    Attempt("forget", [&] { Forget(request, forget.ino, forget.nlookup); });
  }
  return {};
}

Entry MakeNode(fuse_req_t request, NodeId parent, const ArgumentText& name, mode_t mode,
               dev_t device) {
  RefuseVirtual(parent, "make a file");
  return HandlersOf(request).files.MakeNode(parent, name.c_str(), mode, device, CallerOf(request));
}

Entry MakeDirectory(fuse_req_t request, NodeId parent, const ArgumentText& name, mode_t mode) {
  return HandlersOf(request).files.MakeDirectory(parent, name.c_str(), mode, CallerOf(request));
}

Entry MakeListed(fuse_req_t request, NodeId parent, const ArgumentText& name, mode_t mode) {
  return HandlersOf(request).snapshots.MakeDirectory(parent, name.c_str(), mode, CallerOf(request));
}

Entry MakeSymlink(fuse_req_t request, const ArgumentText& target, NodeId parent,
                  const ArgumentText& name) {
  RefuseVirtual(parent, "make a symlink");
  return HandlersOf(request).files.MakeSymlink(parent, name.c_str(), target.c_str(),
                                               CallerOf(request));
}

Entry MakeLink(fuse_req_t request, NodeId node, NodeId new_parent, const ArgumentText& new_name) {
  RefuseVirtual(new_parent, "link a file");
  RefuseVirtual(node, "link a file");
  return HandlersOf(request).files.MakeLink(node, new_parent, new_name.c_str());
}

Done Unlink(fuse_req_t request, NodeId parent, const ArgumentText& name) {
  RefuseVirtual(parent, "remove a file");
  HandlersOf(request).files.Unlink(parent, name.c_str(), CallerOf(request).uid);
  return {};
}

Done RemoveDirectory(fuse_req_t request, NodeId parent, const ArgumentText& name) {
  if (HandlersOf(request).snapshots.IsReserved(parent, name.c_str())) {
    throw Error(EPERM, std::string("remove ") + name.c_str(), "it is a part of its workspace");
  }
  HandlersOf(request).files.RemoveDirectory(parent, name.c_str(), CallerOf(request).uid);
  return {};
}

Done RemoveListed(fuse_req_t request, NodeId parent, const ArgumentText& name) {
  HandlersOf(request).snapshots.RemoveDirectory(parent, name.c_str());
  return {};
}

Done Rename(fuse_req_t request, NodeId parent, const ArgumentText& name, NodeId new_parent,
            const ArgumentText& new_name, unsigned int flags) {
  HandlersOf(request).files.Rename(parent, name.c_str(), new_parent, new_name.c_str(), flags,
                                   CallerOf(request));
  return {};
}

Done RenameListed(fuse_req_t request, NodeId parent, const ArgumentText& name, NodeId new_parent,
                  const ArgumentText& new_name, unsigned int flags) {
  HandlersOf(request).snapshots.Rename(parent, name.c_str(), new_parent, new_name.c_str(), flags,
                                       AskerOf(request));
  return {};
}

}  // namespace ckptfs::fuse_handlers
