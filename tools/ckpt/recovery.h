// Undoes `ckpt init`: a plain directory takes the place of the symlink to a workspace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "catalog/trees/import.h"

namespace ckptfs::cli {

struct RecoveryRequest {
  std::string path;                  // the symlink
  std::optional<std::string> mount;  // the workspace must be in this mount
  bool forget = false;               // remove the workspace when all is done
  bool yes = false;                  // without asking
  bool force = false;                // even if programs use the workspace
};

struct Recovered {
  std::string path;
  std::string workspace;
  std::string snapshot;
  std::optional<ImportStats> copied;  // empty: an earlier run had made the copy
  bool is_workspace_gone = false;     // an earlier run had forgotten it
  std::optional<uint64_t> forgotten;  // the number of snapshots that went with the workspace
  // What has changed in the workspace since the copy began, and is only there; empty: nothing.
  std::string changed;
};

// The steps, and what a crash after each leaves:
//   1. A checkpoint, unless nothing has changed since the last one. Everything is as it was.
//   2. Its copy, in a work directory beside the symlink (RecoveryPlace), then on disk. The next run removes a
//      half-made copy.
//   3. The checkpoint is compared with the live tree: refused if that has changed.
//   4. The copy and the symlink exchange their names. The next run goes on with the next step.
//   5. The comparison again, for what was written to the workspace between 3 and 4: that is told, and the
//      workspace stays. Else, if wished, it is forgotten, in one step that fails if anything has changed since
//      the checkpoint.
//   6. The work directory, which holds the symlink, is removed.
// Throws Error; before step 4 with nothing changed except perhaps for a new checkpoint.
Recovered Recover(const RecoveryRequest& request);

}  // namespace ckptfs::cli
