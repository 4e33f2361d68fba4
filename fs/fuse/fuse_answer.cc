#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/fuse/fuse_answer.h"

#include <algorithm>
#include <vector>

namespace ckptfs {

FuseHandlers& HandlersOf(fuse_req_t request) {
  if (const PendingRequest* pending = AnswersFor::Pending(request)) return pending->handlers();
  return *static_cast<FuseHandlers*>(fuse_req_userdata(request));
}

Caller CallerOf(fuse_req_t request) {
  if (const PendingRequest* pending = AnswersFor::Pending(request)) return pending->caller();
  const fuse_ctx* context = fuse_req_ctx(request);
  return {.uid = context->uid,
          .gid = context->gid,
          .pid = context->pid,
          .umask = context->umask & 0777};
}

std::vector<gid_t> GroupsOf(fuse_req_t request) {
  std::vector<gid_t> groups(64);
  int count = fuse_req_getgroups(request, static_cast<int>(groups.size()), groups.data());
  if (count > static_cast<int>(groups.size())) {
    groups.resize(static_cast<size_t>(count));
    count = fuse_req_getgroups(request, count, groups.data());
  }
  groups.resize(std::min(groups.size(), static_cast<size_t>(std::max(count, 0))));
  return groups;
}

InGroup InGroupsOf(fuse_req_t request) {
  return [request](gid_t group) {
    if (fuse_req_ctx(request)->gid == group) return true;
    const std::vector<gid_t> groups = GroupsOf(request);
    return std::find(groups.begin(), groups.end(), group) != groups.end();
  };
}

Asker AskerOf(fuse_req_t request) {
  const Caller caller = CallerOf(request);
  return {caller.uid, caller.gid, [request, thread = caller.pid] {
            FurtherCredentials further;
            const auto load = [&] {
              further = {.groups = GroupsOf(request), .powers = PowersOf(thread)};
            };
            PendingRequest* const pending = AnswersFor::Pending(request);
            if (pending == nullptr) {
              load();
            } else if (!pending->Touch(load)) {
              throw Error(EINTR, "look at what a process may do", "it has been killed");
            }
            return further;
          }};
}

std::shared_ptr<PendingRequest> KeepForLater(PendingRequest::Kind kind, fuse_req_t request) {
  FuseHandlers& handlers = HandlersOf(request);
  auto pending = std::make_shared<PendingRequest>(kind, request, handlers, CallerOf(request),
                                                  AnswersFor::RingAtHand());
  handlers.killed_askers.Watch(pending);
  return pending;
}

// Not by the verb's thread: who asks for another verb holds the directory's lock until he has his answer, which
// may have to wait for this one.
void TellKernelOfUnanswered(FuseHandlers& handlers, NodeId node, std::vector<PlaceOfName> names) {
  handlers.mount.kernel.InvalidateAttributes(node);
  handlers.elastic_pool.Post([&handlers, names = std::move(names)] {
    for (const auto& [directory, name] : names) handlers.mount.kernel.ExpireName(directory, name);
  });
}

int ErrnoOfException(const char* operation) noexcept {
  try {
    throw;
  } catch (const Error& error) {
    const bool is_odd = error.errno_value() == EIO;
    spdlog::log(is_odd ? spdlog::level::err : spdlog::level::debug, "{}: {}", operation,
                error.what());
    return error.errno_value();
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  } catch (const std::exception& error) {
    spdlog::error("{}: {}", operation, error.what());
  } catch (...) {
    spdlog::error("{}: an unknown exception", operation);
  }
  return EIO;
}

int ReplyError(fuse_req_t request, int error_number) {
  return Reply([&] { return fuse_reply_err(request, error_number); });
}

int ReplyBuffer(fuse_req_t request, const char* data, size_t size) {
  return Reply([&] { return fuse_reply_buf(request, data, size); });
}

void RefuseVirtual(NodeId parent, const char* what) {
  if (!IsVirtual(parent)) return;
  throw Error(EPERM, what, "only workspaces and snapshots can be made here", "Use mkdir");
}

bool KeepsAttributes(const FuseHandlers& handlers, NodeId node) {
  return !handlers.mount.stale_names.Contains(node) && !StoppedAt(handlers, node);
}

std::shared_ptr<LiveWorkspace> StoppedAt(const FuseHandlers& handlers, NodeId node) {
  if (handlers.mount.stopped_walks == 0) return nullptr;
  const auto view = handlers.mount.slots.Find(SlotOf(node));
  const bool leads =
      view && view->kind == View::Kind::kLiveDirectories && view->workspace->StopsWalks();
  return leads ? view->workspace : nullptr;
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

void ReplyEntry(fuse_req_t request, const Entry& entry) {
  FuseHandlers& handlers = HandlersOf(request);  // the request is gone after the reply
  const fuse_entry_param param = EntryParam(handlers, entry);
  const int sent = Reply([&] { return fuse_reply_entry(request, &param); });
  if (sent != 0 && entry.node != 0) {
    handlers.files.Forget(entry.node, 1);
  }
}

void ReplyAttributes(fuse_req_t request, NodeId node, const Attributes& attributes) {
  const double timeout_s = KeepsAttributes(HandlersOf(request), node) ? attributes.timeout_s : 0;
  Reply([&] { return fuse_reply_attr(request, &attributes.stat, timeout_s); });
}

}  // namespace ckptfs
