// The adapter between libfuse's requests and the classes that answer them.
#pragma once

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "backend/base/elastic_pool.h"
#include "fs/control/control.h"
#include "fs/files/file_tree.h"
#include "fs/fuse/killed_askers.h"
#include "fs/fuse/pending_reads.h"
#include "fs/nodes/mount_context.h"
#include "fs/nodes/nodes.h"
#include "fs/open/mount_helper.h"
#include "fs/open/open_inodes.h"
#include "fs/open/write_barrier.h"
#include "fs/operations/automatic_runs.h"
#include "fs/operations/invalidation.h"
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
  FuseHandlers(Store& store, KernelCache& kernel, MountOptions options, MountHelper& helper)
      : mount{.options = std::move(options)},
        nodes(store),
        open(nodes, kernel),
        tidier(nodes, open.mapped),
        resolver(nodes, open.files, tidier),
        files(mount, nodes, open, kernel, resolver, tidier),
        invalidation(kernel, helper, nodes.slots),
        barrier(helper),
        verbs(mount, nodes, open, invalidation, barrier, files),
        snapshots(mount, nodes, invalidation, files, verbs),
        control(ControlServer::Create(verbs)) {}

  // Each uses those before it.
  MountContext mount;
  Nodes nodes;
  OpenInodes open;
  Tidier tidier;
  NodeResolver resolver;
  FileTree files;
  Invalidation invalidation;
  WriteBarrier barrier;
  const bool has_selinux = KernelHasSelinux();
  MountVerbs verbs;
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
