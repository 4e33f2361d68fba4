#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/fuse/run_class.h"

#include <utility>

namespace ckptfs {

std::shared_ptr<PendingRequest> KeepForLater(PendingRequest::Kind kind, fuse_req_t request) {
  FuseHandlers& handlers = HandlersOf(request);
  auto pending = std::make_shared<PendingRequest>(kind, request, handlers, CallerOf(request),
                                                  AnswersFor::RingAtHand());
  handlers.killed_askers.Watch(pending);
  return pending;
}

// Not on the verb's thread: the requester of another verb holds the directory's lock until its answer, which
// may have to wait for this verb.
void TellKernelOfUnanswered(FuseHandlers& handlers, const VerbScope& scope) {
  handlers.invalidation.kernel.InvalidateAttributes(scope.node);
  handlers.elastic_pool.Post([&handlers, names = scope.names] {
    for (const auto& [directory, name] : names)
      handlers.invalidation.kernel.ExpireName(directory, name);
  });
}

}  // namespace ckptfs
