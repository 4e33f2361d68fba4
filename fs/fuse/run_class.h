// How a handler is run: on which thread, and what happens when it fails. fuse_operations.cc says which
// handler runs how.
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
  // On the thread that has read the request. It neither waits nor takes long.
  kAtOnce,
  // The same, as far as possible. If it would wait at a closed freeze lock, it continues in the elastic pool;
  // if it finds that it takes long (FreezeLock::BeforeLongWork), with the workers. The thread that reads
  // requests is the only one of a processor with rings, and one of few without.
  kChange,
  // In the elastic pool: it waits for other requests or for the disk.
  kMayWait,
  // The same, and with the workers if it finds that it takes long.
  kMayTakeLong,
  // In the verb queue, one at a time for each workspace. It is completed even if the requester is killed.
  kVerb,
  // At once, for requests that take no answer: a failure is logged.
  kUnanswered
};

// A name in a directory.
using PlaceOfName = std::pair<NodeId, std::string>;

// What a verb changes.
struct VerbScope {
  NodeId node = 0;                 // the list or the snapshot
  std::vector<PlaceOfName> names;  // names that may change
};

// The result of a run on a thread that reads requests.
enum class RunOutcome : uint8_t { kAnswered, kMustWait, kTakesLong };

// Runs `handle`, which replies; replies with the errno of an exception. Without a reply if it must not wait
// or take long (FreezeLock::NoWaiting) and would have.
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

// The same for requests that a rollback may overtake. A request that has chosen the volume before the switch
// can find it destroyed, and would have succeeded in the restored one: it is retried.
template <typename Handle>
RunOutcome Answer(fuse_req_t request, const char* operation, const Handle& handle) noexcept {
  return AnswerOnce(request, operation, [&] {
    const std::atomic<uint64_t>& switches = HandlersOf(request).invalidation.switches;
    uint64_t before = 0;
    do {
      before = switches;
      try {
        handle();
        return;
      } catch (const Error&) {
        // For any error: the remains of a volume being destroyed give unexpected ones.
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

// What is kept of a request that another thread will answer.
std::shared_ptr<PendingRequest> KeepForLater(PendingRequest::Kind kind, fuse_req_t request);

// On that other thread: runs `work`, which answers, unless the answer is no longer needed.
template <typename Work>
void AnswerKept(PendingRequest& pending, const Work& work) {
  if (!pending.Begin()) return;
  const AnswersFor answers(pending);
  const AskerLife::Scope asker(pending.killed());
  work();
}

// `handle` is copied and outlives the caller: it must own what it needs (kept_arguments.h).
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

// Runs `handle`, which replies, by a class that needs no further arguments.
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

// After a verb whose requester was told that it was not done: makes the kernel drop what it cached of the
// verb's scope.
void TellKernelOfUnanswered(FuseHandlers& handlers, const VerbScope& scope);

// For RunClass::kVerb. `handle` uses the request only through the functions of fuse_request.h and
// fuse_replies.h.
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
