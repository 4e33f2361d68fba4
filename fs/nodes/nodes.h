// What node ids stand for.
#pragma once

#include <cstdint>
#include <string>

#include "catalog/store/store.h"
#include "fs/nodes/directory_fds.h"
#include "fs/nodes/live_workspace.h"
#include "fs/nodes/views.h"

namespace ckptfs {

// The views, workspaces and volumes of one mount. Owned by the mount; outlives every request. All members are
// thread-safe.
struct Nodes {
  explicit Nodes(Store& store_in)
      : store(store_in), volumes(store.backend()), workspaces(store, slots) {
    // In a store with many snapshots, the number of the last deleted one may be the only free number, and the
    // deleted snapshot may still be read.
    store.SetViewHolder([this](uint64_t view) { return slots.HasNumber(view); });
  }
  ~Nodes() { store.SetViewHolder(nullptr); }
  Nodes(const Nodes&) = delete;
  Nodes& operator=(const Nodes&) = delete;

  // A workspace's name for messages: "?" if it is gone.
  std::string NameOf(int64_t workspace_id) const {
    const auto record = store.rows().FindWorkspace(workspace_id);
    return record ? record->name : "?";
  }

  Store& store;
  SlotTable slots;
  VolumeCache volumes;
  DirectoryFds directory_fds;
  LiveWorkspaces workspaces;
};

}  // namespace ckptfs
