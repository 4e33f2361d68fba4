#include "catalog/recovery/rebuild.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "backend/base/error.h"
#include "backend/base/time.h"
#include "catalog/recovery/found_views.h"
#include "catalog/recovery/inventory.h"
#include "catalog/store/store_context.h"
#include "catalog/trees/names.h"

namespace ckptfs {
namespace {

std::string RecoveredName(const VolumeId& volume) {
  return "recovered-" + volume.str().substr(0, 8);
}

// Hands out unique names. The cost per name is constant, however many want the same one.
class Names {
 public:
  // `wanted`, or wanted-2, ...
  std::string Take(const std::string& wanted) {
    int& suffix = last_suffix_[wanted];
    if (suffix++ == 0 && taken_.insert(wanted).second) return wanted;
    while (true) {
      std::string name = NameWithSuffix(wanted, ++suffix);
      if (taken_.insert(name).second) return name;
    }
  }

 private:
  std::set<std::string> taken_;
  std::unordered_map<std::string, int> last_suffix_;
};

// Makes the plan in steps, each of which removes volumes from `left_`.
class Planner {
 public:
  Planner(const Backend& backend, const MetaDirectory& meta, const std::vector<Sidecar>& known);
  RebuildPlan Make();

 private:
  struct Candidate {
    bool read_only = false;
    std::optional<Sidecar> sidecar;  // empty: none, or damaged
  };

  // A workspace as sidecars identify it. The time distinguishes it from a former one with the same number.
  using WorkspaceName = std::pair<uint64_t, int64_t>;  // view, created_ns

  void ReadSidecars(const Inventory& inventory, const std::vector<Sidecar>& known);
  std::vector<Sidecar*> AllSidecars(bool of_live_trees);
  void MakeViewsUnique();
  void NumberWorkspaces();
  void NumberSnapshots();
  void TakeLiveTrees();
  void TakeSnapshots();
  void TakeNameless();
  void MakeAbsentWorkspaces();
  void AddWorkspace(WorkspaceRecord workspace, const Uuid& parent);
  void AddSnapshot(const Sidecar& sidecar);
  void AddRecovered(const VolumeId& volume, uint64_t workspace_view, const std::string& why);
  void BreakCircles();
  uint64_t GuessWorkspace(const VolumeId& volume) const;
  void RememberIds(const Sidecar& row);

  const Backend& backend_;
  uint64_t store_generation_ = 0;
  std::map<VolumeId, Candidate> left_;
  std::map<VolumeId, int64_t> snapshot_ids_;
  std::map<WorkspaceName, int64_t> known_workspaces_;
  std::map<uint64_t, int64_t> workspace_ids_;  // by its view in the plan

  std::map<uint64_t, size_t> workspaces_;  // by view, into plan_.workspaces
  Names workspace_names_;
  std::map<uint64_t, Names> snapshot_names_;  // by the workspace's view
  std::unordered_set<Uuid> snapshot_uuids_;
  FoundViews views_;
  // Workspaces with snapshots but no live tree, according to the newest of the snapshots' sidecars.
  std::map<uint64_t, WorkspaceRecord> absent_;
  std::map<uint64_t, int64_t> absent_newest_ns_;
  std::map<uint64_t, uint64_t> parent_generation_;
  RebuildPlan plan_;
};

Planner::Planner(const Backend& backend, const MetaDirectory& meta,
                 const std::vector<Sidecar>& known)
    : backend_(backend) {
  const Inventory inventory(backend, meta);
  store_generation_ = inventory.store_generation().value_or(0);
  if (!inventory.store_generation()) {
    spdlog::warn("{}; that of the sidecars is taken", inventory.generation_damage());
  }
  ReadSidecars(inventory, known);
  plan_.generation = store_generation_;
  for (const auto& [id, candidate] : left_) {
    // Not lower than that of a transaction that may have been committed: its volume would look like debris.
    if (candidate.sidecar) {
      plan_.generation = std::max(plan_.generation, candidate.sidecar->generation);
    }
  }
}

void Planner::ReadSidecars(const Inventory& inventory, const std::vector<Sidecar>& known) {
  for (const auto& [id, read_only] : inventory.volumes()) {
    auto [sidecar, damage] = inventory.ReadSidecar(id);
    if (!damage.empty()) spdlog::warn("sidecar of volume {} is damaged: {}", id.str(), damage);
    left_[id] = {.read_only = read_only, .sidecar = std::move(sidecar)};
  }
  for (const Sidecar& row : known) {
    RememberIds(row);
    const auto found = left_.find(row.volume);
    if (found != left_.end() && !found->second.sidecar) found->second.sidecar = row;
  }
}

void Planner::RememberIds(const Sidecar& row) {
  known_workspaces_[{row.workspace.view, row.workspace.created_ns}] = row.workspace.id;
  views_.Remember(row.workspace.view);
  if (row.role != SidecarRole::kSnapshot) return;
  snapshot_ids_[row.volume] = row.snapshot.id;
  views_.Remember(row.snapshot.view);
}

RebuildPlan Planner::Make() {
  // Drops volumes that recovery will remove. If it is in doubt whether a volume's transaction was committed,
  // it counts as committed, since the row that would tell is lost.
  std::erase_if(left_, [](const auto& entry) {
    return entry.second.sidecar && entry.second.sidecar->IsUnfinished();
  });
  MakeViewsUnique();
  TakeLiveTrees();
  TakeSnapshots();
  MakeAbsentWorkspaces();
  TakeNameless();
  std::stable_sort(plan_.snapshots.begin(), plan_.snapshots.end(),
                   [](const RebuildPlan::Entry& a, const RebuildPlan::Entry& b) {
                     return a.snapshot.created_ns < b.snapshot.created_ns;
                   });
  BreakCircles();
  return std::move(plan_);
}

// Tampered sidecars may make a snapshot its own ancestor. Cuts every cycle of parents.
void Planner::BreakCircles() {
  std::unordered_map<Uuid, RebuildPlan::Entry*> entries;
  for (RebuildPlan::Entry& entry : plan_.snapshots) entries[entry.snapshot.uuid] = &entry;
  std::unordered_set<Uuid> end;
  std::unordered_set<Uuid> chain;
  for (const RebuildPlan::Entry& first : plan_.snapshots) {
    chain.clear();
    auto at = entries.find(first.snapshot.uuid);
    while (at != entries.end() && !end.contains(at->first)) {
      chain.insert(at->first);
      Uuid& parent = at->second->parent;
      if (chain.contains(parent)) parent = Uuid();
      at = entries.find(parent);
    }
    end.insert(chain.begin(), chain.end());
  }
}

// The sidecars of live trees, or those of snapshots: newest first.
std::vector<Sidecar*> Planner::AllSidecars(bool of_live_trees) {
  std::vector<Sidecar*> found;
  for (auto& [id, candidate] : left_) {
    if (!candidate.sidecar) continue;
    const bool of_live_tree = candidate.sidecar->role == SidecarRole::kWorkspace;
    if (of_live_tree == of_live_trees) found.push_back(&*candidate.sidecar);
  }
  const auto created_ns = [&](const Sidecar* sidecar) {
    return of_live_trees ? sidecar->workspace.created_ns : sidecar->snapshot.created_ns;
  };
  std::stable_sort(found.begin(), found.end(), [&](const Sidecar* a, const Sidecar* b) {
    return created_ns(a) > created_ns(b);
  });
  return found;
}

// A number is reused once its tree is gone for good. Two volumes have the same number only if an operation
// failed and the removal of its debris failed too: the newer volume keeps it. Numbers of live trees come
// before those of snapshots. A new number is never one that the catalog knew: a mount may be using it.
void Planner::MakeViewsUnique() {
  NumberWorkspaces();
  NumberSnapshots();
}

void Planner::NumberWorkspaces() {
  std::map<WorkspaceName, uint64_t> views;
  std::vector<WorkspaceName> left_over;
  std::vector<Sidecar*> sidecars = AllSidecars(/*of_live_trees=*/true);
  const std::vector<Sidecar*> of_snapshots = AllSidecars(/*of_live_trees=*/false);
  sidecars.insert(sidecars.end(), of_snapshots.begin(), of_snapshots.end());
  for (const Sidecar* sidecar : sidecars) {
    const WorkspaceName name(sidecar->workspace.view, sidecar->workspace.created_ns);
    if (!views.emplace(name, name.first).second) continue;
    if (!views_.Claim(name.first)) left_over.push_back(name);
  }
  for (const Sidecar* sidecar : of_snapshots) views_.Remember(sidecar->snapshot.view);
  for (const WorkspaceName& name : left_over) views[name] = views_.Take(ViewUse::kWorkspace);
  for (Sidecar* sidecar : sidecars) {
    uint64_t& view = sidecar->workspace.view;
    view = views.at({view, sidecar->workspace.created_ns});
  }
  for (const auto& [name, id] : known_workspaces_) {
    const auto found = views.find(name);
    if (found != views.end()) workspace_ids_[found->second] = id;
  }
}

void Planner::NumberSnapshots() {
  std::vector<Sidecar*> left_over;
  for (Sidecar* sidecar : AllSidecars(/*of_live_trees=*/false)) {
    if (!views_.Claim(sidecar->snapshot.view)) left_over.push_back(sidecar);
  }
  for (Sidecar* sidecar : left_over) sidecar->snapshot.view = views_.Take(ViewUse::kSnapshot);
}

// If several volumes claim to be the live tree of one workspace, the last committed one is it. The others are
// kept, as snapshots: previous states of rollbacks whose sidecars were not updated in time, or clones whose
// transaction is in doubt.
void Planner::TakeLiveTrees() {
  std::map<uint64_t, std::vector<const Sidecar*>> by_view;
  for (const auto& [id, candidate] : left_) {
    if (!candidate.sidecar || candidate.sidecar->role != SidecarRole::kWorkspace) continue;
    by_view[candidate.sidecar->workspace.view].push_back(&*candidate.sidecar);
  }
  for (auto& [view, sidecars] : by_view) {
    const auto rank = [this](const Sidecar* sidecar) {
      const bool certain =
          sidecar->state == SidecarState::kCommitted || sidecar->generation <= store_generation_;
      return std::pair(certain, sidecar->generation);
    };
    const Sidecar* live =
        *std::max_element(sidecars.begin(), sidecars.end(),
                          [&](const Sidecar* a, const Sidecar* b) { return rank(a) < rank(b); });
    WorkspaceRecord workspace = live->workspace;
    workspace.volume = live->volume;
    AddWorkspace(workspace, live->parent);
    plan_.settings[view] = live->settings;
    parent_generation_[view] = live->generation;
    std::vector<VolumeId> taken;
    for (const Sidecar* sidecar : sidecars) {
      if (sidecar != live) {
        AddRecovered(sidecar->volume, view, "it is an earlier live tree");
      }
      taken.push_back(sidecar->volume);
    }
    for (const VolumeId& volume : taken) left_.erase(volume);
  }
}

void Planner::AddWorkspace(WorkspaceRecord workspace, const Uuid& parent) {
  const auto known = workspace_ids_.find(workspace.view);
  workspace.id = known == workspace_ids_.end() ? 0 : known->second;
  workspace.parent_id.reset();
  const std::string wanted = workspace.name;
  workspace.name = workspace_names_.Take(wanted);
  if (workspace.name != wanted) {
    plan_.remarks.push_back(
        fmt::format("two workspaces were called {}: one is now {}", wanted, workspace.name));
  }
  plan_.live_parents[workspace.view] = parent;
  workspaces_[workspace.view] = plan_.workspaces.size();
  plan_.workspaces.push_back(std::move(workspace));
}

void Planner::TakeSnapshots() {
  std::map<uint64_t, std::pair<uint64_t, Uuid>> newest;  // by view: generation, UUID
  for (const auto& [id, candidate] : left_) {
    if (!candidate.sidecar) continue;
    const Sidecar& sidecar = *candidate.sidecar;
    const uint64_t view = sidecar.workspace.view;
    AddSnapshot(sidecar);
    // The live tree's sidecar follows a checkpoint with a delay; the snapshot's own is current before it.
    const bool prepared = sidecar.state == SidecarState::kPrepared;
    auto& [generation, uuid] = newest[view];
    if (prepared && IsCheckpoint(sidecar.snapshot.kind) && sidecar.generation > generation) {
      generation = sidecar.generation;
      uuid = sidecar.snapshot.uuid;
    }
    if (workspaces_.contains(view)) continue;
    if (sidecar.snapshot.created_ns >= absent_newest_ns_[view]) {
      absent_newest_ns_[view] = sidecar.snapshot.created_ns;
      absent_[view] = sidecar.workspace;
    }
  }
  for (const auto& [view, found] : newest) {
    if (workspaces_.contains(view) && found.first > parent_generation_[view]) {
      plan_.live_parents[view] = found.second;
      plan_.workspaces[workspaces_[view]].parent_marker = 0;
    }
  }
  std::erase_if(left_, [](const auto& entry) { return entry.second.sidecar.has_value(); });
}

void Planner::AddSnapshot(const Sidecar& sidecar) {
  RebuildPlan::Entry entry{.snapshot = sidecar.snapshot,
                           .workspace_view = sidecar.workspace.view,
                           .parent = sidecar.parent};
  SnapshotRecord& snapshot = entry.snapshot;
  const auto known = snapshot_ids_.find(sidecar.volume);
  snapshot.id = known == snapshot_ids_.end() ? 0 : known->second;
  snapshot.volume = sidecar.volume;
  snapshot.state = SnapshotState::kOk;
  snapshot.name = snapshot_names_[entry.workspace_view].Take(sidecar.snapshot.name);
  // Two volumes with the same sidecar, as after a copy: a snapshot's UUID is its volume's.
  if (!snapshot_uuids_.insert(snapshot.uuid).second) {
    snapshot.uuid = snapshot.volume;
    while (!snapshot_uuids_.insert(snapshot.uuid).second) snapshot.uuid = Uuid::Generate();
  }
  if (snapshot.name != sidecar.snapshot.name) {
    plan_.remarks.push_back(fmt::format("two snapshots of {} were called {}: one is now {}",
                                        sidecar.workspace.name, sidecar.snapshot.name,
                                        snapshot.name));
  }
  plan_.snapshots.push_back(std::move(entry));
}

// Workspaces of which only snapshots' sidecars are left: the live tree's own sidecar is lost, or the live
// tree is gone. Either way the snapshots get a workspace, and a rollback to one of them restores a live tree.
void Planner::MakeAbsentWorkspaces() {
  for (auto& [view, workspace] : absent_) {
    const auto found = left_.find(workspace.volume);
    if (found != left_.end() && !found->second.read_only) {
      left_.erase(found);
    } else {
      workspace.volume = VolumeId::Generate();
      plan_.remarks.push_back(fmt::format(
          "the live tree of workspace {} was not found: roll it back to one of its snapshots",
          workspace.name));
    }
    workspace.parent_marker = 0;
    AddWorkspace(workspace, {});
  }
}

// Volumes of which nothing is known except that they exist.
void Planner::TakeNameless() {
  for (const auto& [volume, candidate] : left_) {
    if (candidate.read_only) {
      const uint64_t view = GuessWorkspace(volume);
      // No workspace to put it in: recovery reports it, and leaves it where it is.
      if (view == 0) continue;
      AddRecovered(volume, view, "its sidecar is damaged");
      continue;
    }
    WorkspaceRecord workspace;
    workspace.name = RecoveredName(volume);
    workspace.volume = volume;
    workspace.created_ns = NowNs();
    workspace.view = views_.Take(ViewUse::kWorkspace);
    plan_.remarks.push_back(
        fmt::format("volume {} has no sidecar that tells its name: it is workspace {}",
                    volume.str(), workspace.name));
    AddWorkspace(workspace, {});
  }
}

// Sidecars of what derives from a snapshot name it (a snapshot's UUID is its volume's): those of its own
// workspace, and of workspaces forked from it, which are younger. Without such a sidecar, there may be only
// one workspace at all. 0: unknown.
uint64_t Planner::GuessWorkspace(const VolumeId& volume) const {
  std::set<uint64_t> deriving;
  for (const RebuildPlan::Entry& entry : plan_.snapshots) {
    if (entry.parent == volume) deriving.insert(entry.workspace_view);
  }
  for (const auto& [view, parent] : plan_.live_parents) {
    if (parent == volume) deriving.insert(view);
  }
  const WorkspaceRecord* oldest = nullptr;
  for (const WorkspaceRecord& workspace : plan_.workspaces) {
    if (!deriving.contains(workspace.view)) continue;
    if (oldest == nullptr || workspace.created_ns < oldest->created_ns) oldest = &workspace;
  }
  if (oldest != nullptr) return oldest->view;
  return plan_.workspaces.size() == 1 ? plan_.workspaces.front().view : 0;
}

void Planner::AddRecovered(const VolumeId& volume, uint64_t workspace_view,
                           const std::string& why) {
  Sidecar sidecar;
  sidecar.volume = volume;
  sidecar.role = SidecarRole::kSnapshot;
  sidecar.workspace.view = workspace_view;
  sidecar.snapshot.uuid = volume;
  sidecar.snapshot.name = RecoveredName(volume);
  sidecar.snapshot.message = "Recovered when the catalog was rebuilt: " + why;
  sidecar.snapshot.view = views_.Take(ViewUse::kSnapshot);
  const std::shared_ptr<Volume> opened = backend_.Open(volume);
  sidecar.snapshot.root = ReadRootAttributes(*opened);
  struct stat status {};
  CheckSyscall(fstat(opened->root_fd(), &status), "stat the root of volume " + volume.str());
  sidecar.snapshot.created_ns = SoundTime(status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
  plan_.remarks.push_back(
      fmt::format("volume {} is now snapshot {}: {}", volume.str(), sidecar.snapshot.name, why));
  AddSnapshot(sidecar);
}

}  // namespace

RebuildPlan PlanRebuild(const Backend& backend, const MetaDirectory& meta,
                        const std::vector<Sidecar>& known) {
  return Planner(backend, meta, known).Make();
}

void ApplyRebuild(const RebuildPlan& plan, Catalog::Transaction& transaction) {
  transaction.DeleteAllRows();
  std::map<uint64_t, int64_t> workspace_ids;
  for (const WorkspaceRecord& workspace : plan.workspaces) {
    const int64_t id = workspace_ids[workspace.view] = transaction.Insert(workspace);
    const auto settings = plan.settings.find(workspace.view);
    if (settings != plan.settings.end()) transaction.ReplaceSettings(id, settings->second);
  }
  std::map<Uuid, int64_t> snapshot_ids;
  for (const RebuildPlan::Entry& entry : plan.snapshots) {
    SnapshotRecord snapshot = entry.snapshot;
    snapshot.workspace_id = workspace_ids.at(entry.workspace_view);
    snapshot.parent_id.reset();
    snapshot_ids[snapshot.uuid] = transaction.Insert(snapshot);
  }
  const auto id_of = [&](const Uuid& uuid) -> std::optional<int64_t> {
    const auto found = snapshot_ids.find(uuid);
    if (found == snapshot_ids.end()) return std::nullopt;
    return found->second;
  };
  for (const RebuildPlan::Entry& entry : plan.snapshots) {
    if (entry.parent.empty()) continue;
    transaction.SetParent(snapshot_ids.at(entry.snapshot.uuid), id_of(entry.parent));
  }
  for (const WorkspaceRecord& workspace : plan.workspaces) {
    const std::optional<int64_t> parent = id_of(plan.live_parents.at(workspace.view));
    transaction.SetLive(workspace_ids.at(workspace.view), workspace.volume, parent,
                        parent ? workspace.parent_marker : 0);
    // The time of the list's last change is lost; it must not go back for callers that check it for changes.
    transaction.TouchSnapshots(workspace_ids.at(workspace.view), NowNs());
  }
  transaction.SetGeneration(plan.generation);
}

}  // namespace ckptfs
