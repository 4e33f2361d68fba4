// Rebuilding a catalog from the sidecars.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "backend/interface/backend.h"
#include "catalog/db/catalog_transaction.h"
#include "catalog/sidecar/sidecar.h"

namespace ckptfs {

// The contents of a rebuilt catalog. Ids are 0 where SQLite is to choose.
struct RebuildPlan {
  std::vector<WorkspaceRecord> workspaces;  // parent_id not set
  struct Entry {
    SnapshotRecord snapshot;  // workspace_id and parent_id not set
    uint64_t workspace_view = 0;
    Uuid parent;
  };
  std::vector<Entry> snapshots;             // by age
  std::map<uint64_t, Uuid> live_parents;    // by the workspace's view
  std::map<uint64_t, SettingMap> settings;  // by the workspace's view
  uint64_t generation = 0;
  std::vector<std::string> remarks;  // sentences about what could not be recovered in full
};

// Decides what the rows are, from the existing volumes and their sidecars. Every volume that is not debris
// becomes a row if possible; one with a damaged sidecar gets the name recovered-<8 hex digits>, with what is
// still known of it. `known` are rows of an older catalog: they keep their ids, and replace damaged or
// missing sidecars. Changes nothing.
RebuildPlan PlanRebuild(const Backend& backend, const MetaDirectory& meta,
                        const std::vector<Sidecar>& known);

// Replaces all rows by the plan's, in the caller's transaction.
void ApplyRebuild(const RebuildPlan& plan, Catalog::Transaction& transaction);

}  // namespace ckptfs
