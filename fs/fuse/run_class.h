// How a handler is run: on which thread, and what happens when it fails. Which handler runs how stands in
// fuse_operations.cc.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/error.h"
#include "fs/fuse/fuse_request.h"
#include "fs/nodes/asker_life.h"
#include "fs/nodes/freeze_lock.h"

namespace ckptfs {

enum class RunClass : uint8_t {
  // By the thread that has read the request. It neither waits nor takes long.
  kAtOnce,
  // The same, as far as that goes. What would wait at a shut freeze lock goes on in the elastic pool, and what finds
  // out that it takes long (FreezeLock::BeforeLongWork) with the workers: the thread that reads requests is the only
  // one of a processor where they come by a ring, and one of not too many otherwise.
  kChange,
  // In the elastic pool: it waits for other requests or for the disk.
  kMayWait,
  // The same, and with the workers if it finds out that it takes long.
  kMayTakeLong,
  // In the verb queue, one after the other of a workspace. It is done to its end though its asker be killed.
  kVerb,
  // At once, for requests that the kernel takes no answer to: a failure is logged.
  kUnanswered
};

// A name in a directory.
using PlaceOfName = std::pair<NodeId, std::string>;

// What a verb changes.
struct VerbScope {
  NodeId node = 0;                 // the list, or the snapshot
  std::vector<PlaceOfName> names;  // which may change by it
};

// What a thread that reads requests has found of one.
enum class RunOutcome : uint8_t { kAnswered, kMustWait, kTakesLong };

// Runs `handle`, which replies; replies with the errno of what it throws. Without a reply, if it was neither
// to wait nor to take long (FreezeLock::NoWaiting), and would have.
template <typename Handle>
RunOutcome AnswerOnce(fuse_req_t request, const char* operation, const Handle& handle) noexcept {
  try {
    PrepareWorkerThread();
    handle();
  } catch (const FreezeLock::MustNotWait&) {
    return RunOutcome::kMustWait;
  } catch (const FreezeLock::MustNotWork&) {
    return RunOutcome::kTakesLong;
  } catch (...) {
    ReplyError(request, ErrnoOfException(operation));
  }
  return RunOutcome::kAnswered;
}

// The same for requests that may meet a rollback. One that has chosen the volume before the switch
// can find that volume destroyed, and in the restored one it would have succeeded: it is done again.
template <typename Handle>
RunOutcome Answer(fuse_req_t request, const char* operation, const Handle& handle) noexcept {
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

// The same without an answer.
template <typename Handle>
void Attempt(const char* operation, const Handle& handle) noexcept {
  try {
    PrepareWorkerThread();
    handle();
  } catch (...) {
    ErrnoOfException(operation);
  }
}

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

// `handle` is copied and outlives the caller: it holds what it needs (kept_arguments.h).
template <typename Handle>
void AnswerIn(ElasticPool& room, fuse_req_t request, const char* operation, const Handle& handle) {
  room.Post(CallerOf(request).uid, [request, operation, handle,
                                    pending = KeepForLater(PendingRequest::Kind::kOther, request)] {
    AnswerKept(*pending, [&] { Answer(request, operation, handle); });
  });
}

template <typename Handle>
void AnswerPerhapsLong(fuse_req_t request, const char* operation, const Handle& handle) {
  FuseHandlers& handlers = HandlersOf(request);
  const auto begin = [&handlers, request, operation, handle] {
    RunOutcome outcome = RunOutcome::kAnswered;
    {
      const FreezeLock::NoLongWork no_long_work;
      outcome = Answer(request, operation, handle);
    }
    if (outcome != RunOutcome::kAnswered) AnswerIn(handlers.workers, request, operation, handle);
  };
  handlers.elastic_pool.Post(
      CallerOf(request).uid,
      [begin, pending = KeepForLater(PendingRequest::Kind::kOther, request)] {
        AnswerKept(*pending, begin);
      });
}

template <typename Handle>
void AnswerChange(fuse_req_t request, const char* operation, const Handle& handle) {
  RunOutcome outcome = RunOutcome::kAnswered;
  {
    const FreezeLock::NoWaiting no_waiting;
    outcome = Answer(request, operation, handle);
  }
  if (outcome == RunOutcome::kAnswered) return;
  FuseHandlers& handlers = HandlersOf(request);
  AnswerIn(outcome == RunOutcome::kMustWait ? handlers.elastic_pool : handlers.workers, request,
           operation, handle);
}

// Runs `handle`, which replies, by one of the classes that need to know no more.
template <RunClass kRun, typename Handle>
void Run(fuse_req_t request, const char* operation, const Handle& handle) {
  static_assert(kRun != RunClass::kVerb);
  if constexpr (kRun == RunClass::kAtOnce) {
    Answer(request, operation, handle);
  } else if constexpr (kRun == RunClass::kChange) {
    AnswerChange(request, operation, handle);
  } else if constexpr (kRun == RunClass::kMayWait) {
    AnswerIn(HandlersOf(request).elastic_pool, request, operation, handle);
  } else if constexpr (kRun == RunClass::kMayTakeLong) {
    AnswerPerhapsLong(request, operation, handle);
  } else {
    Attempt(operation, handle);
    fuse_reply_none(request);
  }
}

// After a verb whose asker was told that it was not done: of what it changes the kernel knows what was before.
void TellKernelOfUnanswered(FuseHandlers& handlers, const VerbScope& scope);

// For RunClass::kVerb. `handle` uses the request by the functions of fuse_request.h and fuse_replies.h, and by
// nothing else.
template <typename Handle>
void RunVerb(fuse_req_t request, const char* operation, VerbScope scope, const Handle& handle) {
  FuseHandlers& handlers = HandlersOf(request);
  const int64_t workspace = handlers.snapshots.WorkspaceOf(scope.node);
  handlers.verb_queue.Post(CallerOf(request).uid, workspace,
                           [request, operation, handle, scope = std::move(scope),
                            pending = KeepForLater(PendingRequest::Kind::kVerb, request)] {
                             AnswerKept(*pending, [&] { AnswerOnce(request, operation, handle); });
                             if (pending->killed())
                               TellKernelOfUnanswered(pending->handlers(), scope);
                           });
}

}  // namespace ckptfs
