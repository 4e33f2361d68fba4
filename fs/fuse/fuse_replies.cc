#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/fuse/fuse_replies.h"

#include <cerrno>

#include "fs/fuse/fuse_request.h"

namespace ckptfs {
namespace {

void Describe(fuse_file_info& file, const OpenReply& open) {
  file.fh = open.handle;
  file.backing_id = open.backing_id;
  file.keep_cache = open.keeps_pages ? 1 : 0;
  file.direct_io = open.uncached ? 1 : 0;
  file.noflush = 1;
  file.parallel_direct_writes = 1;
}

}  // namespace

std::shared_ptr<LiveWorkspace> StoppedAt(const FuseHandlers& handlers, NodeId node) {
  if (handlers.invalidation.stopped_walks == 0) return nullptr;
  const auto view = handlers.nodes.slots.Find(SlotOf(node));
  const bool leads =
      view && view->kind == View::Kind::kLiveDirectories && view->workspace->StopsWalks();
  return leads ? view->workspace : nullptr;
}

bool KeepsAttributes(const FuseHandlers& handlers, NodeId node) {
  return !handlers.invalidation.stale_names.Contains(node) && !StoppedAt(handlers, node);
}

fuse_entry_param EntryParam(const FuseHandlers& handlers, const Entry& entry) {
  fuse_entry_param param{};
  param.ino = entry.node;
  param.generation = entry.generation;
  param.attr = entry.attributes.stat;
  param.attr_timeout = KeepsAttributes(handlers, entry.node) ? entry.attributes.timeout_s : 0;
  param.entry_timeout = entry.entry_timeout_s;
  return param;
}

ListReply::ListReply(fuse_req_t request, size_t size)
    : request_(request), handlers_(HandlersOf(request)), buffer_(size) {}

ListReply::~ListReply() {
  for (const NodeId node : counted_) {
    if (!IsVirtual(node)) handlers_.files.Forget(node, 1);
  }
}

bool ListReply::Add(const ListedName& listed, bool with_attributes) {
  fuse_entry_param param{};
  if (listed.entry) param = EntryParam(handlers_, *listed.entry);
  if (!listed.entry) {  // "no lookup counted": the kernel looks it up when it needs it
    param.attr.st_ino = listed.number;
    param.attr.st_mode = listed.type;
  }
  char* end = buffer_.data() + used_;
  const size_t room = buffer_.size() - used_;
  const size_t needed =
      with_attributes
          ? fuse_add_direntry_plus(request_, end, room, listed.name, &param, listed.next)
          : fuse_add_direntry(request_, end, room, listed.name, &param.attr, listed.next);
  if (needed > room) return false;
  used_ += needed;
  if (listed.entry) counted_.push_back(listed.entry->node);
  return true;
}

void ListReply::Send() {
  if (ReplyBuffer(request_, buffer_.data(), used_) == 0) counted_.clear();
}

void Send(fuse_req_t request, const Done& /*reply*/) { ReplyError(request, 0); }

void Send(fuse_req_t request, const Failed& reply) { ReplyError(request, reply.error_number); }

void Send(fuse_req_t request, const Entry& reply) {
  FuseHandlers& handlers = HandlersOf(request);  // the request is gone after the reply
  const fuse_entry_param param = EntryParam(handlers, reply);
  const int sent = Reply([&] { return fuse_reply_entry(request, &param); });
  if (sent != 0 && reply.node != 0) {
    handlers.files.Forget(reply.node, 1);
  }
}

void Send(fuse_req_t request, const AttributesOf& reply) {
  const Attributes& attributes = reply.attributes;
  const double timeout_s =
      KeepsAttributes(HandlersOf(request), reply.node) ? attributes.timeout_s : 0;
  Reply([&] { return fuse_reply_attr(request, &attributes.stat, timeout_s); });
}

void Send(fuse_req_t request, const StatxOf& reply) {
  const double timeout_s = KeepsAttributes(HandlersOf(request), reply.node) ? reply.timeout_s : 0;
  struct statx status = reply.status;
  Reply([&] { return fuse_reply_statx(request, 0, &status, timeout_s); });
}

void Send(fuse_req_t request, const LinkTarget& reply) {
  Reply([&] { return fuse_reply_readlink(request, reply.path.c_str()); });
}

void Send(fuse_req_t request, const XattrValue& reply) {
  const std::string& value = reply.value;
  if (reply.room == 0) {
    Reply([&] { return fuse_reply_xattr(request, value.size()); });
  } else if (value.size() > reply.room) {
    ReplyError(request, ERANGE);
  } else {
    ReplyBuffer(request, value.data(), value.size());
  }
}

void Send(fuse_req_t request, const struct statvfs& reply) {
  Reply([&] { return fuse_reply_statfs(request, &reply); });
}

void Send(fuse_req_t request, OpenedFile&& reply) {
  FuseHandlers& handlers = HandlersOf(request);
  Describe(reply.info, reply.open);
  if (Reply([&] { return fuse_reply_open(request, &reply.info); }) != 0) {
    handlers.files.Release(reply.node, reply.open.handle);
  }
}

void Send(fuse_req_t request, CreatedAndOpened&& reply) {
  const CreatedFile& created = reply.created;
  Describe(reply.info, created.open);
  FuseHandlers& handlers = HandlersOf(request);
  const fuse_entry_param param = EntryParam(handlers, created.entry);
  if (Reply([&] { return fuse_reply_create(request, &param, &reply.info); }) == 0) return;
  handlers.files.Release(created.entry.node, created.open.handle);
  handlers.files.Forget(created.entry.node, 1);
}

void Send(fuse_req_t request, OpenedControl&& reply) {
  fuse_file_info& file = reply.info;
  file.fh = reinterpret_cast<uint64_t>(reply.session.get());
  file.direct_io = 1;
  file.nonseekable = 1;
  file.noflush = 1;
  if (Reply([&] { return fuse_reply_open(request, &file); }) == 0) {
    static_cast<void>(reply.session.release());
  }
}

void Send(fuse_req_t request, const Bytes& reply) {
  ReplyBuffer(request, reply.data.get(), reply.size);
}

void Send(fuse_req_t request, const Written& reply) {
  Reply([&] { return fuse_reply_write(request, reply.size); });
}

void Send(fuse_req_t request, const FoundOffset& reply) {
  Reply([&] { return fuse_reply_lseek(request, reply.offset); });
}

void Send(fuse_req_t request, const IoctlOutput& reply) {
  const char* const data = reply.size != 0 ? reply.data.data() : nullptr;
  Reply([&] { return fuse_reply_ioctl(request, 0, data, reply.size); });
}

}  // namespace ckptfs
