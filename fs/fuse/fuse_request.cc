#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/fuse/fuse_request.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <new>
#include <vector>

#include "backend/base/error.h"

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

}  // namespace ckptfs
