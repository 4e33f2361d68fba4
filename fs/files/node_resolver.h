// From the node id in a request to a file in a volume.
#pragma once

#include <cstdint>
#include <memory>

#include "backend/base/serial_executor.h"
#include "fs/files/tidier.h"
#include "fs/nodes/nodes.h"
#include "fs/open/open_files.h"

namespace ckptfs {

// A file or directory in a volume, as a request names it.
struct Node {
  NodeId id = 0;
  std::shared_ptr<View> view;
  std::shared_ptr<LiveWorkspace> workspace;  // null: it is in a snapshot
  std::shared_ptr<Volume> volume;            // null: an open file of a deleted snapshot
  FileId file;                               // generation 0: any
  bool is_root = false;                      // of its volume
  // In a snapshot: handles from before a rollback can still write to its files, so the kernel must cache
  // nothing of them. Determined before anything is read.
  bool in_writing = false;
  // For a live directory: the slot of its entries that are not directories.
  std::shared_ptr<View> files;
};

// Thread-safe.
class NodeResolver {
 public:
  NodeResolver(Nodes& nodes, const OpenFiles& open_files, Tidier& tidier)
      : nodes_(nodes), open_files_(open_files), tidier_(tidier) {}

  // What a node id stands for now. Throws Error: ESTALE if it is no longer known, EIO if its data is missing.
  Node Resolve(NodeId node_id);

 private:
  void ResolveInSnapshot(Node& node);
  void NoteMissing(int64_t snapshot_id);

  Nodes& nodes_;
  const OpenFiles& open_files_;
  Tidier& tidier_;
  SerialExecutor missing_;  // for NoteMissing
};

}  // namespace ckptfs
