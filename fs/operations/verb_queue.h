// Which verb comes next.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <set>

#include "backend/base/elastic_pool.h"
#include "backend/base/mutex.h"

namespace ckptfs {

// Verbs take milliseconds. They wait for other requests (operations in flight to end, RELEASEs to arrive) and
// for the disk. A request handler that ran one could be the very thread which those requests need, above all
// with FUSE over io_uring, which has one thread per processor. So verbs run here.
//
// Verbs of one workspace run one at a time, in the order of the requests. Verbs of different workspaces run
// in parallel, with a limit per user. Users take turns: a user with many or slow verbs delays only that user.
//
// Any thread may post. The destructor waits for all posted tasks. A task must not throw.
class VerbQueue {
 public:
  // Running at once: per user, and in total. The first limit does not apply to root.
  static constexpr size_t kRunningOfUserMax = 8;
  static constexpr size_t kRunningMax = 128;

  VerbQueue() = default;
  ~VerbQueue() = default;
  VerbQueue(const VerbQueue&) = delete;
  VerbQueue& operator=(const VerbQueue&) = delete;

  // `workspace`: 0 for the mount root.
  void Post(uid_t user, int64_t workspace, std::function<void()> run);

 private:
  struct Task {
    uid_t user = 0;
    int64_t workspace = 0;
    std::function<void()> run;
  };
  struct User {
    std::list<Task> waiting;
    size_t running = 0;
  };

  void Dispatch();
  std::optional<Task> TakeNext() REQUIRES(mutex_);
  std::optional<Task> TakeOf(uid_t id, User& user) REQUIRES(mutex_);
  void Run(Task& task);

  Mutex mutex_;
  std::map<uid_t, User> users_ GUARDED_BY(mutex_);  // users with verbs
  uid_t last_ GUARDED_BY(mutex_) = 0;               // the last user served
  std::set<int64_t> busy_ GUARDED_BY(mutex_);       // workspaces with a running verb
  size_t running_ GUARDED_BY(mutex_) = 0;
  ElasticPool threads_;  // last: it uses the above
};

}  // namespace ckptfs
