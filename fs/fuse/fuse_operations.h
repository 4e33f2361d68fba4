// The adapter between libfuse's requests and the classes that answer them.
#pragma once

#include <chrono>
#include <memory>
#include <thread>

#include "backend/base/elastic_pool.h"
#include "fs/control/control.h"
#include "fs/files/file_tree.h"
#include "fs/files/mount_context.h"
#include "fs/fuse/killed_askers.h"
#include "fs/fuse/pending_reads.h"
#include "fs/operations/automatic_runs.h"
#include "fs/operations/mount_verbs.h"
#include "fs/operations/verb_queue.h"
#include "fs/snapshots/snapshot_tree.h"

struct fuse_lowlevel_ops;

namespace ckptfs {

// Whether file labels have a meaning, determined as is_selinux_enabled(3) does.
bool KernelHasSelinux();

// Everything that answers one mount's requests; the user data of its libfuse session. The table of operations
// is in fuse_operations.cc. Decoding, calling, replying and turning exceptions into errno happen only in
// operation.h and run_class.h.
struct FuseHandlers {
  explicit FuseHandlers(MountContext& mount_in)
      : mount(mount_in),
        verbs(mount),
        files(mount),
        snapshots(mount, verbs),
        control(ControlServer::Create(verbs)) {}

  MountContext& mount;
  const bool has_selinux = KernelHasSelinux();
  MountVerbs verbs;
  FileTree files;
  SnapshotTree snapshots;
  PendingReads pending_reads;
  std::unique_ptr<ControlServer> control;
  KilledAskers killed_askers;
  // Last: their tasks use all of the above.
  VerbQueue verb_queue;
  ElasticPool elastic_pool;
  // For long work (copies, truncation and removal of large files). More threads than processors would not
  // finish sooner, and would only delay short requests.
  ElasticPool workers{std::chrono::seconds(5), 2 + 2 * std::thread::hardware_concurrency()};
  AutomaticRuns automatic{verbs};
};

const fuse_lowlevel_ops& FuseOperations();

}  // namespace ckptfs
