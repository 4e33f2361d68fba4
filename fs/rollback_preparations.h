// Rollbacks by rename(2) that the kernel has been asked to ask for again.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

#include "fs/forgotten_names.h"
#include "fs/kernel_cache.h"
#include "fs/periodic_task.h"

namespace ckptfs {

// Before a rollback the kernel has to forget names (ForgottenNames), which takes locks of directories. A
// rename(2) that asks for the rollback holds the lock of a list already, and for as long as it waits for
// its answer, others can hold any directory's and wait for the list's: a rename between the two, whatever
// comes of it. So the request is answered with ESTALE: the kernel gives back its locks, walks to both
// names once more and asks again (retry_estale in do_renameat2). What has to be done is done in between.
//
// On those second walks it needs the permission to search the list, and as its attributes have been
// dropped, and are not to be kept meanwhile, it asks for them: the answer, the last one that it needs, is
// kept until all is done. The thread holds no lock then.
//
// Owned by the adapter. Any thread may call anything.
class RollbackPreparations {
 public:
  // One of them. Shared by the thread that prepares and those that wait for it.
  class Preparation {
   public:
    // Returns when it is done, or after `time_max`.
    void Await(std::chrono::milliseconds time_max);
    // Null if it was not done, or has been taken.
    std::unique_ptr<ForgottenNames> TakeNames();

   private:
    friend class RollbackPreparations;
    pid_t thread_ = 0;
    int64_t workspace_id_ = 0;
    NodeId list_ = 0;
    std::chrono::steady_clock::time_point begun_at_;
    std::atomic<int> walks_left_ = 0;

    std::mutex mutex_;  // guards what follows
    std::condition_variable changed_;
    bool done_ = false;
    std::unique_ptr<ForgottenNames> names_;
  };

  explicit RollbackPreparations(KernelCache& kernel);

  // The kernel's thread is about to be told ESTALE for its rename in that list, from which it will make so
  // many `walks`. Run must follow.
  std::shared_ptr<Preparation> Begin(pid_t thread, int64_t workspace_id, NodeId list, int walks);
  // `forget` may throw: then there are no names.
  void Run(Preparation& preparation,
           const std::function<std::unique_ptr<ForgottenNames>()>& forget) noexcept;

  // What was prepared for that thread, which comes with its second request; null if nothing was.
  std::shared_ptr<Preparation> Take(pid_t thread, int64_t workspace_id);

  // Whether the kernel must not keep the attributes of that list. Costs nothing where there is nothing.
  bool Contains(NodeId list) const;
  // That thread asks for the list's attributes: what it has to wait for before it is told; null: nothing.
  std::shared_ptr<Preparation> AwaitedBy(pid_t thread, NodeId list);

 private:
  bool DropOld();

  KernelCache& kernel_;
  std::atomic<size_t> count_{0};
  mutable std::mutex mutex_;
  std::list<std::shared_ptr<Preparation>> preparations_;
  PeriodicTask dropper_;  // last: it uses all of the above
};

}  // namespace ckptfs
