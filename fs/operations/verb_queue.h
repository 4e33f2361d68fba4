// Which verb comes next.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "backend/base/elastic_pool.h"

namespace ckptfs {

// Verbs take milliseconds, and wait for other requests (for operations in flight to end, for releases to
// arrive) and for the disk; a request handler that did so itself could be the very thread that those requests
// need, above all with FUSE over io_uring, where each processor has one. So they are done here.
//
// Of one workspace a verb is done after the other, in the order in which its users asked. Verbs of different
// workspaces are done beside each other, so many of each user at once: users take turns, and who asks for
// many, or for slow ones, keeps only himself waiting.
//
// Any thread may post. The destructor waits for all that was posted. A task must not throw.
class VerbQueue {
 public:
  // At once, of one user, and of all. Root is not limited by the first.
  static constexpr size_t kRunningOfUserMax = 8;
  static constexpr size_t kRunningMax = 128;

  VerbQueue() = default;
  ~VerbQueue() = default;
  VerbQueue(const VerbQueue&) = delete;
  VerbQueue& operator=(const VerbQueue&) = delete;

  // `workspace`: 0 for what concerns the mount's root.
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
  std::optional<Task> TakeNext();
  std::optional<Task> TakeOf(uid_t id, User& user);
  void Run(Task& task);

  std::mutex mutex_;
  std::map<uid_t, User> users_;  // that have any
  uid_t last_ = 0;               // whose turn it was
  std::set<int64_t> busy_;       // workspaces
  size_t running_ = 0;
  ElasticPool threads_;  // last: it uses the above
};

}  // namespace ckptfs
