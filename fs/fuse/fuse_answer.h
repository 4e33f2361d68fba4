// How the adapter answers a request; for the adapter's own source files.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)
#endif

#include <fuse_lowlevel.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/error.h"
#include "fs/fuse/fuse_operations.h"
#include "fs/fuse/pending_request.h"
#include "fs/fuse/ring_thread.h"
#include "fs/nodes/asker_life.h"
#include "fs/nodes/freeze_lock.h"
#include "fs/operations/asker.h"

namespace ckptfs {

FuseHandlers& HandlersOf(fuse_req_t request);
Caller CallerOf(fuse_req_t request);
// The further groups of the thread that asks, if it is there still.
std::vector<gid_t> GroupsOf(fuse_req_t request);
InGroup InGroupsOf(fuse_req_t request);
// To be used before the request is answered.
Asker AskerOf(fuse_req_t request);

// While it exists the calling thread answers requests of that ring (null: of none), or that one request.
class AnswersFor {
 public:
  explicit AnswersFor(std::shared_ptr<RingThread> ring)
      : before_(std::exchange(ring_, std::move(ring))),
        pending_before_(std::exchange(pending_, nullptr)) {}
  explicit AnswersFor(PendingRequest& pending)
      : before_(std::exchange(ring_, pending.ring())),
        pending_before_(std::exchange(pending_, &pending)) {}
  ~AnswersFor() {
    ring_ = std::move(before_);
    pending_ = pending_before_;
  }
  AnswersFor(const AnswersFor&) = delete;
  AnswersFor& operator=(const AnswersFor&) = delete;

  static RingThread* ring() noexcept { return ring_.get(); }
  // Null: whatever it answers is there until it does.
  static PendingRequest* pending() noexcept { return pending_; }
  // If it is that request.
  static PendingRequest* Pending(fuse_req_t request) noexcept {
    return pending_ != nullptr && pending_->request() == request ? pending_ : nullptr;
  }
  // That of the request at hand, for another thread that is to answer it; null: it came by none.
  static std::shared_ptr<RingThread> RingAtHand() { return ring_ ? ring_ : RingThread::Current(); }

 private:
  static inline thread_local std::shared_ptr<RingThread> ring_;
  static inline thread_local PendingRequest* pending_ = nullptr;
  std::shared_ptr<RingThread> before_;
  PendingRequest* const pending_before_;
};

// Every answer goes through this: calls `send`, one of libfuse's fuse_reply functions, on the thread
// that may do so, and returns what that returns; -ENOENT if the request has had its answer (PendingRequest).
template <typename Send>
int Reply(const Send& send) {
  const auto deliver = [&send] {
    if (AnswersFor::ring() == nullptr) return send();
    int result = -ENOTCONN;
    AnswersFor::ring()->Run([&] { result = send(); });
    return result;
  };
  PendingRequest* const pending = AnswersFor::pending();
  return pending != nullptr ? pending->Answer(deliver) : deliver();
}
int ReplyError(fuse_req_t request, int error_number);
int ReplyBuffer(fuse_req_t request, const char* data, size_t size);

// What is not a directory cannot be made where no volume is: EPERM.
void RefuseVirtual(NodeId parent, const char* what);

// Whether the kernel may keep the attributes of that node (StaleNames, SettlingNames).
// The workspace into which that node, a directory, leads, if walks have to wait there; else null.
std::shared_ptr<LiveWorkspace> StoppedAt(const FuseHandlers& handlers, NodeId node);
bool KeepsAttributes(const FuseHandlers& handlers, NodeId node);
fuse_entry_param EntryParam(const FuseHandlers& handlers, const Entry& entry);
// Takes the lookup back if the kernel did not take the reply.
void ReplyEntry(fuse_req_t request, const Entry& entry);
void ReplyAttributes(fuse_req_t request, NodeId node, const Attributes& attributes);

// The errno of the exception that is being handled, which it logs.
int ErrnoOfException(const char* operation) noexcept;

// What a thread that reads requests has found of one.
enum class Outcome : uint8_t { kAnswered, kMustWait, kTakesLong };

// Runs `handle`, which replies; replies with the errno of what it throws. Without a reply, if it was neither
// to wait nor to take long (FreezeLock::NoWaiting), and would have.
template <typename Handle>
Outcome AnswerOnce(fuse_req_t request, const char* operation, const Handle& handle) noexcept {
  try {
    PrepareWorkerThread();
    handle();
  } catch (const FreezeLock::MustNotWait&) {
    return Outcome::kMustWait;
  } catch (const FreezeLock::MustNotWork&) {
    return Outcome::kTakesLong;
  } catch (...) {
    ReplyError(request, ErrnoOfException(operation));
  }
  return Outcome::kAnswered;
}

// What libfuse calls for a request, as it stands in its table: Callback<Lookup>::Call. libfuse is C, and
// nothing may be thrown through it. Functions in which an exception can only come before somebody is to
// answer (memory for what outlives them) need no more; what answers does it by the functions below.
template <auto kFunction>
struct Callback;
template <typename... Arguments, void (*kFunction)(fuse_req_t, Arguments...)>
struct Callback<kFunction> {
  static void Call(fuse_req_t request, Arguments... arguments) noexcept {
    try {
      kFunction(request, arguments...);
    } catch (...) {
      ReplyError(request, ErrnoOfException("request"));
    }
  }
};

// The same for requests that may meet a rollback. One that has chosen the volume before the switch
// can find that volume destroyed, and in the restored one it would have succeeded: it is done again.
template <typename Handle>
Outcome Answer(fuse_req_t request, const char* operation, const Handle& handle) noexcept {
  return AnswerOnce(request, operation, [&] {
    const std::atomic<uint64_t>& switches = HandlersOf(request).mount.switches;
    uint64_t before = 0;
    do {
      before = switches;
      try {
        handle();
        return;
      } catch (const Error&) {
        // By whatever error: what is left of a volume that is being destroyed gives strange ones.
        if (switches == before) throw;
      }
    } while (true);
  });
}

// A name of a request: a copy of this has its own, as the next request may come where that one's words are.
class RequestText {
 public:
  explicit RequestText(const char* text) : text_(text) {}
  RequestText(const RequestText& other) : own_(other.c_str()) {}
  RequestText(RequestText&&) noexcept = default;
  RequestText& operator=(const RequestText&) = delete;
  RequestText& operator=(RequestText&&) = delete;
  ~RequestText() = default;

  const char* c_str() const noexcept { return text_ != nullptr ? text_ : own_.c_str(); }

 private:
  const char* text_ = nullptr;
  std::string own_;
};

// What is kept of a request that another thread is to answer.
std::shared_ptr<PendingRequest> KeepForLater(PendingRequest::Kind kind, fuse_req_t request);

// On that other thread: runs `work`, which answers, unless nobody waits for it any more.
template <typename Work>
void AnswerKept(PendingRequest& pending, const Work& work) {
  if (!pending.Begin()) return;
  const AnswersFor answers(pending);
  const AskerLife::Scope asker(pending.killed());
  work();
}

// `handle` is copied and outlives the caller: it holds what it needs by value, names as RequestText.
template <typename Handle>
void AnswerIn(ElasticPool& room, fuse_req_t request, const char* operation, const Handle& handle) {
  room.Post(CallerOf(request).uid, [request, operation, handle,
                                    pending = KeepForLater(PendingRequest::Kind::kOther, request)] {
    AnswerKept(*pending, [&] { Answer(request, operation, handle); });
  });
}

// For what waits, for other requests or for the disk.
template <typename Handle>
void AnswerInWaitingRoom(fuse_req_t request, const char* operation, const Handle& handle) {
  AnswerIn(HandlersOf(request).elastic_pool, request, operation, handle);
}

// The same where that may turn out to be long work (FreezeLock::BeforeLongWork).
template <typename Handle>
void AnswerPerhapsLong(fuse_req_t request, const char* operation, const Handle& handle) {
  FuseHandlers& handlers = HandlersOf(request);
  const auto begin = [&handlers, request, operation, handle] {
    Outcome outcome = Outcome::kAnswered;
    {
      const FreezeLock::NoLongWork no_long_work;
      outcome = Answer(request, operation, handle);
    }
    if (outcome != Outcome::kAnswered) AnswerIn(handlers.workers, request, operation, handle);
  };
  handlers.elastic_pool.Post(
      CallerOf(request).uid,
      [begin, pending = KeepForLater(PendingRequest::Kind::kOther, request)] {
        AnswerKept(*pending, begin);
      });
}

// For what passes a freeze lock, or may find out that it takes long (FreezeLock::BeforeLongWork): the thread that reads
// requests, the only one of a processor where they come by a ring, and one of not too many otherwise, is
// kept by neither.
template <typename Handle>
void AnswerChange(fuse_req_t request, const char* operation, const Handle& handle) {
  Outcome outcome = Outcome::kAnswered;
  {
    const FreezeLock::NoWaiting no_waiting;
    outcome = Answer(request, operation, handle);
  }
  if (outcome == Outcome::kAnswered) return;
  FuseHandlers& handlers = HandlersOf(request);
  AnswerIn(outcome == Outcome::kMustWait ? handlers.elastic_pool : handlers.workers, request,
           operation, handle);
}

// For what has pages of a file written back or changed first, if the kernel may hold any that a mapping
// has stored to; `handle` is told whether.
template <typename Handle>
void AnswerWithPages(fuse_req_t request, const char* operation, NodeId node, const Handle& handle) {
  const bool holds_pages = HandlersOf(request).mount.pages.Holds(node);
  const auto run = [handle, holds_pages] { handle(holds_pages); };
  if (holds_pages) {
    AnswerInWaitingRoom(request, operation, run);  // which may take long there
  } else {
    AnswerChange(request, operation, run);
  }
}

// A name in a directory.
using PlaceOfName = std::pair<NodeId, std::string>;

// After a verb whose asker was told that it was not done: of that node, and of these names, the kernel knows
// what was before.
void TellKernelOfUnanswered(FuseHandlers& handlers, NodeId node, std::vector<PlaceOfName> names);

// For verbs, which take long and wait for other requests. `node`: the list, or the snapshot, which is changed;
// `names`: which may change by it. `handle` uses the request by the functions above, and by nothing else.
template <typename Handle>
void AnswerVerb(fuse_req_t request, const char* operation, NodeId node,
                std::vector<PlaceOfName> names, Handle handle) {
  FuseHandlers& handlers = HandlersOf(request);
  handlers.verb_queue.Post(
      CallerOf(request).uid, handlers.snapshots.WorkspaceOf(node),
      [request, operation, node, names = std::move(names), handle = std::move(handle),
       pending = KeepForLater(PendingRequest::Kind::kVerb, request)] {
        AnswerKept(*pending, [&] { AnswerOnce(request, operation, handle); });
        if (pending->killed()) TellKernelOfUnanswered(pending->handlers(), node, names);
      });
}

// Each part of the adapter puts its functions into the table.
void SetNameOperations(fuse_lowlevel_ops& operations);
void SetAttributeOperations(fuse_lowlevel_ops& operations);
void SetListingOperations(fuse_lowlevel_ops& operations);
void SetDataOperations(fuse_lowlevel_ops& operations);

}  // namespace ckptfs
