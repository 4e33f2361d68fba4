// How the adapter answers a request; for the adapter's own source files.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)
#endif

#include <fuse_lowlevel.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cerrno>
#include <new>
#include <utility>

#include "backend/base/error.h"
#include "fs/fuse_operations.h"

namespace ckptfs {

FuseHandlers& HandlersOf(fuse_req_t request);
Caller CallerOf(fuse_req_t request);
bool IsInGroup(fuse_req_t request, gid_t group);

// What is not a directory cannot be made where no volume is: EPERM.
void RefuseVirtual(NodeId parent, const char* what);

fuse_entry_param EntryParam(const Entry& entry);
// Takes the lookup back if the kernel did not take the reply.
void ReplyEntry(fuse_req_t request, const Entry& entry);
void ReplyAttributes(fuse_req_t request, const Attributes& attributes);

// Runs `handle`, which replies; replies with the errno of what it throws. The only place where an
// exception meets the kernel.
template <typename Handle>
void AnswerOnce(fuse_req_t request, const char* operation, const Handle& handle) noexcept {
  int error_number = EIO;
  try {
    PrepareWorkerThread();
    handle();
    return;
  } catch (const Error& error) {
    error_number = error.errno_value();
    if (error_number == EIO)
      spdlog::error("{}: {}", operation, error.what());
    else
      spdlog::debug("{}: {}", operation, error.what());
  } catch (const std::bad_alloc&) {
    error_number = ENOMEM;
  } catch (const std::exception& error) {
    spdlog::error("{}: {}", operation, error.what());
  }
  fuse_reply_err(request, error_number);
}

// The same for requests that may meet a rollback. One that has chosen the volume before the switch
// can find that volume destroyed, and in the restored one it would have succeeded: it is done again.
template <typename Handle>
void Answer(fuse_req_t request, const char* operation, const Handle& handle) noexcept {
  AnswerOnce(request, operation, [&] {
    const std::atomic<uint64_t>& switches = HandlersOf(request).mount.switches;
    uint64_t before = 0;
    do {
      before = switches;
      try {
        handle();
        return;
      } catch (const Error& error) {
        const bool is_gone = error.errno_value() == ENOENT || error.errno_value() == ESTALE;
        if (!is_gone || switches == before) throw;
      }
    } while (true);
  });
}

// On the thread for verbs, which take long and wait for other requests.
template <typename Handle>
void AnswerLater(fuse_req_t request, const char* operation, Handle handle) {
  HandlersOf(request).verb_thread.Post(
      [request, operation, handle = std::move(handle)] { AnswerOnce(request, operation, handle); });
}

// Each part of the adapter puts its functions into the table.
void SetNameOperations(fuse_lowlevel_ops& operations);
void SetAttributeOperations(fuse_lowlevel_ops& operations);
void SetListingOperations(fuse_lowlevel_ops& operations);
void SetDataOperations(fuse_lowlevel_ops& operations);

}  // namespace ckptfs
