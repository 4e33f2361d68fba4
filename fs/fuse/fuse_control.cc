// The adapter's handlers of requests for `ckpt`'s control files.
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include <cerrno>
#include <memory>

#include "backend/base/error.h"
#include "fs/control/control_protocol.h"
#include "fs/fuse/fuse_handlers.h"
#include "fs/fuse/fuse_operations.h"

namespace ckptfs::fuse_handlers {
namespace {

SessionHandle& SessionOf(const fuse_file_info& file) {
  return *reinterpret_cast<SessionHandle*>(file.fh);
}

}  // namespace

OpenedControl OpenControl(fuse_req_t request, NodeId node, const AskedFile& file) {
  FuseHandlers& handlers = HandlersOf(request);
  const Caller caller = CallerOf(request);
  auto session = std::make_unique<SessionHandle>(
      handlers.control->Open({.pid = caller.pid,
                              .uid = caller.uid,
                              .gid = caller.gid,
                              .groups = GroupsOf(request),
                              .powers = caller.uid == 0 ? Powers() : PowersOf(caller.pid),
                              .may_change = IsOpenForWriting(file.info.flags),
                              .workspace_id = handlers.snapshots.ControlScope(node).value()}));
  return {std::move(session), file.info};
}

Done ReleaseControl(fuse_req_t /*request*/, NodeId /*node*/, const AskedFile& file) {
  const std::unique_ptr<SessionHandle> session(&SessionOf(file.info));
  return {};
}

AnsweredElsewhere ReadControl(fuse_req_t request, NodeId /*node*/, size_t size, off_t /*offset*/,
                              const AskedFile& file) {
  HandlersOf(request).pending_reads.Read(request, SessionOf(file.info), size);
  return {};
}

Done RefuseControlWrite(fuse_req_t /*request*/, NodeId /*node*/, const ArgumentData& /*data*/,
                        off_t /*offset*/, const AskedFile& /*file*/) {
  throw Error(EINVAL, "write to a control file", "requests are made by ioctl", "Use ckpt");
}

IoctlOutput ControlIoctl(fuse_req_t /*request*/, NodeId /*node*/, unsigned int command,
                         const AskedFile& file, unsigned int flags, const ArgumentBytes& input,
                         size_t /*output_size*/) {
  if ((flags & FUSE_IOCTL_COMPAT) != 0) throw Error(ENOSYS, "ioctl of a 32-bit process");
  if (_IOC_TYPE(command) != kControlIoctlType) throw Error(ENOTTY, "ioctl of a control file");
  switch (_IOC_NR(command)) {
    case kControlAppendNumber:
      SessionOf(file.info)->Append(input.view());
      break;
    case kControlRunNumber:
      SessionOf(file.info)->Run();
      break;
    default:
      throw Error(ENOTTY, "ioctl of a control file");
  }
  return {};
}

}  // namespace ckptfs::fuse_handlers
