// Checks everything against everything.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "backend/base/error.h"
#include "backend/base/time.h"
#include "catalog/recovery/garbage.h"
#include "catalog/recovery/inventory.h"
#include "catalog/recovery/rebuild.h"
#include "catalog/store/store_context.h"
#include "catalog/trees/names.h"

namespace ckptfs {
namespace {

// One fsck, with the store's operations locked out. Each check adds to the report, and repairs what it finds
// if allowed: it deletes data only of operations that were cut short (GarbageJudge), and gives a row to any
// other that has none.
class Checker {
 public:
  Checker(StoreContext& store, bool repair)
      : store_(store), repair_(repair), inventory_(TakeInventory()) {}
  FsckReport Run();

 private:
  Inventory TakeInventory() const { return {*store_.backend, *store_.meta, *store_.catalog}; }
  void Problem(const std::string& line) { report_.problems.push_back(line); }
  template <typename Action>
  void Mend(const std::string& problem, const std::string& done, const Action& mend);
  void CheckGenerations();
  void MergeFromSidecars(uint64_t store_generation);
  void CheckRows();
  void CheckViews();
  void CheckVolumesWithoutRow();
  void CheckStranger(const VolumeId& volume);
  std::string Adopt(const Sidecar& sidecar);
  std::string AdoptSnapshot(const WorkspaceRecord& workspace, SnapshotRecord snapshot,
                            const Uuid& parent);
  void CheckTombstones();
  void CheckTemplates();
  void CheckSidecars();
  void CheckSidecar(const Sidecar& right, const std::string& what);
  void CheckStoreFile();

  StoreContext& store_;
  const bool repair_;
  FsckReport report_;
  Inventory inventory_;
};

FsckReport Checker::Run() {
  for (std::string& line : store_.catalog->Verify()) {
    Problem(line + ". Unmount, move catalog.db away, mount: it is rebuilt from the sidecars");
  }
  CheckGenerations();
  CheckTombstones();
  CheckTemplates();
  // Just before volumes are judged: those of comparisons and imports come and go meanwhile.
  inventory_ = TakeInventory();
  CheckVolumesWithoutRow();
  if (repair_) inventory_ = TakeInventory();
  CheckRows();
  CheckViews();
  CheckSidecars();
  CheckStoreFile();
  for (const std::string& name : store_.backend->ListForeign()) {
    Problem(fmt::format("{} is among the volumes but is not a volume", name));
  }
  return std::move(report_);
}

// Reports `problem`, and repairs it if requested.
template <typename Action>
void Checker::Mend(const std::string& problem, const std::string& done, const Action& mend) {
  Problem(problem);
  if (!repair_) return;
  try {
    mend();
    report_.repaired.push_back(done);
  } catch (const std::exception& error) {
    Problem(fmt::format("not repaired: {}", error.what()));
  }
}

// --- A catalog that is older than the store -----------------------------------------------------

void Checker::CheckGenerations() {
  const uint64_t known = store_.catalog->Generation();
  const std::optional<uint64_t> seen = inventory_.store_generation();
  if (!seen) {
    Mend(inventory_.generation_damage(), "the store's generation was written anew",
         [&] { store_.meta->SetGeneration(known); });
    return;
  }
  if (*seen <= known) return;
  Mend(fmt::format("catalog.db is older than the store by {} changes", *seen - known),
       "catalog.db has what it lacked, from the sidecars", [&] { MergeFromSidecars(*seen); });
}

// The sidecars have the newest state: rows are made from them, and from the old catalog only where there is
// no sidecar. Ids stay the same, as the live mount knows them. A copy of the old catalog is kept.
void Checker::MergeFromSidecars(uint64_t store_generation) {
  std::vector<Sidecar> known;
  std::map<int64_t, VolumeId> live_before;
  for (const WorkspaceRecord& workspace : store_.catalog->ListWorkspaces()) {
    known.emplace_back(store_.sidecars->Describe(workspace));
    live_before[workspace.id] = workspace.volume;
  }
  for (const SnapshotRecord& snapshot : store_.catalog->ListAllSnapshots()) {
    known.emplace_back(store_.sidecars->Describe(snapshot));
  }
  const std::string copy =
      fmt::format("{}.before-repair-{}", Catalog::kFileName, FormatForName(NowNs()));
  store_.catalog->CopyTo(copy);
  RebuildPlan plan = PlanRebuild(*store_.backend, *store_.meta, known);
  plan.generation = std::max(plan.generation, store_generation);
  Catalog::Transaction transaction(*store_.catalog);
  ApplyRebuild(plan, transaction);
  if (const auto file = store_.meta->ReadStore()) {
    transaction.SetMountRoot(file->mount_root);
    transaction.ReplaceSettings(std::nullopt, file->settings);
  }
  store_.Commit(transaction);
  for (const std::string& remark : plan.remarks) report_.repaired.push_back(remark);
  report_.repaired.push_back("the old catalog is kept as " + copy);

  // Live trees served from a volume that is no longer theirs must not be written to.
  bool moved = false;
  for (const WorkspaceRecord& workspace : store_.catalog->ListWorkspaces()) {
    const auto before = live_before.find(workspace.id);
    if (before != live_before.end() && before->second != workspace.volume) moved = true;
  }
  if (!moved) store_.SetReadOnly(false);
  report_.repaired.emplace_back("unmount, and mount again, to write to the workspaces");
}

// --- Rows and volumes ---------------------------------------------------------------------------

void Checker::CheckRows() {
  for (const WorkspaceRecord& workspace : inventory_.workspaces()) {
    const std::optional<bool> read_only = inventory_.IsReadOnly(workspace.volume);
    if (!read_only) {
      Problem(
          fmt::format("workspace {}: its data is missing (volume {}). Roll it back to a snapshot",
                      workspace.name, workspace.volume.str()));
    } else if (*read_only && !store_.options.backend_options.read_only) {
      Problem(fmt::format("workspace {}: its volume {} is read-only. Roll it back to a snapshot",
                          workspace.name, workspace.volume.str()));
    }
  }
  for (const SnapshotVolume& snapshot : inventory_.snapshots()) {
    const std::optional<bool> read_only = inventory_.IsReadOnly(snapshot.volume);
    if (!read_only) {
      Problem(fmt::format(
          "snapshot {}: its data is missing (volume {}). Bring it back, or remove the entry with "
          "ckpt delete --force",
          snapshot.name, snapshot.volume.str()));
    } else if (!*read_only && !store_.unsealed.Contains(snapshot.volume)) {
      Mend(fmt::format("snapshot {}: its volume {} is writable", snapshot.name,
                       snapshot.volume.str()),
           fmt::format("volume {} is read-only now", snapshot.volume.str()),
           [&] { store_.backend->Seal(snapshot.volume); });
    }
    const SnapshotState state = read_only ? SnapshotState::kOk : SnapshotState::kMissing;
    if (state == snapshot.state) continue;
    Mend(fmt::format("snapshot {}: the catalog calls it {}, and it is {}", snapshot.name,
                     ToString(snapshot.state), ToString(state)),
         fmt::format("snapshot {} is called {} now", snapshot.name, ToString(state)), [&] {
           Catalog::Transaction transaction(*store_.catalog);
           transaction.SetState(snapshot.id, state);
           transaction.CommitUncounted();
         });
  }
}

// View numbers are unique in each table by constraint, across both by the code that assigns them.
void Checker::CheckViews() {
  std::set<uint64_t> used;
  for (const WorkspaceRecord& workspace : inventory_.workspaces()) used.insert(workspace.view);
  for (const SnapshotVolume& snapshot : inventory_.snapshots()) {
    if (used.insert(snapshot.view).second) continue;
    Mend(fmt::format("snapshot {}: its view number {} is a workspace's too", snapshot.name,
                     snapshot.view),
         fmt::format("snapshot {} has a view number of its own", snapshot.name), [&] {
           std::optional<SnapshotRecord> other = store_.catalog->FindSnapshot(snapshot.id);
           if (!other) return;
           other->view = store_.NextView(ViewUse::kSnapshot);
           Catalog::Transaction transaction(*store_.catalog);
           transaction.Update(*other);
           store_.Commit(transaction);
         });
  }
}

void Checker::CheckTombstones() {
  for (const VolumeId& volume : inventory_.tombstones()) {
    if (store_.janitor->IsReaping(volume)) continue;  // it is being tried again
    Mend(fmt::format("the deletion of volume {} was not completed", volume.str()),
         fmt::format("volume {} is destroyed", volume.str()), [&] { store_.Destroy(volume); });
  }
  if (repair_) store_.janitor->Drain();
}

void Checker::CheckTemplates() {
  TemplateKeeper* keeper = store_.backend->templates();
  if (keeper == nullptr) return;
  for (const TemplateInfo& info : store_.catalog->ListTemplates()) {
    try {
      keeper->Verify(info.id);
    } catch (const Error& error) {
      Problem(error.what());
    }
  }
  for (TemplateWithoutRow& found : TemplatesWithoutRow(store_)) {
    TemplateInfo& info = found.info;
    const std::string wanted = info.label;
    if (!found.is_needed) {
      if (IsSpared(store_, info.created_ns)) continue;
      Mend(fmt::format("template {} ({}) is left of an operation that was cut short", wanted,
                       info.id.str()),
           fmt::format("template {} was removed", wanted), [&] { keeper->Remove(info.id); });
      continue;
    }
    info.label = FirstFreeName(wanted, [&](const std::string& name) {
      return store_.catalog->FindTemplate(name).has_value();
    });
    Mend(fmt::format("template {} ({}) has no entry in the catalog", wanted, info.id.str()),
         fmt::format("template {} has an entry", info.label), [&] {
           Catalog::Transaction transaction(*store_.catalog);
           transaction.Insert(info);
           store_.Commit(transaction);
         });
  }
}

void Checker::CheckVolumesWithoutRow() {
  for (const VolumeId& volume : inventory_.Strangers()) CheckStranger(volume);
}

void Checker::CheckStranger(const VolumeId& volume) {
  // Comparisons and imports do not wait for a check.
  if (store_.in_work.Contains(volume)) return;
  const char* kind = inventory_.IsReadOnly(volume) == true ? "read-only" : "writable";
  if (const std::string why = GarbageJudge(store_, inventory_).WhyUseless(volume); !why.empty()) {
    const auto file = store_.meta->StatusOf(volume);
    if (!file || IsSpared(store_, file->changed_ns)) return;
    Mend(fmt::format("{} volume {} is {}", kind, volume.str(), why),
         fmt::format("volume {} was removed", volume.str()), [&] {
           Entomb(store_, {volume});
           store_.Destroy(volume);
         });
    return;
  }
  const std::optional<Sidecar> sidecar = inventory_.ReadSidecar(volume).sidecar;
  if (!sidecar) {
    Problem(
        fmt::format("{} volume {} has no entry in the catalog and no sidecar that can be read: "
                    "it is left alone",
                    kind, volume.str()));
    return;
  }
  // It cannot be judged while the catalog is older than the store.
  if (sidecar->IsUnfinished()) return;
  const bool snapshot = sidecar->role == SidecarRole::kSnapshot;
  const std::string was =
      snapshot ? fmt::format("snapshot {} of {}", sidecar->snapshot.name, sidecar->workspace.name)
               : fmt::format("the live tree of {}", sidecar->workspace.name);
  std::string name;
  Mend(fmt::format("{} volume {} has no entry in the catalog; it was {}", kind, volume.str(), was),
       fmt::format("volume {} has an entry again", volume.str()), [&] { name = Adopt(*sidecar); });
  if (!name.empty()) report_.repaired.back() += " as " + name;
}

// Gives a volume the row that its sidecar describes; returns its name.
std::string Checker::Adopt(const Sidecar& sidecar) {
  const std::optional<WorkspaceRecord> workspace =
      store_.catalog->FindWorkspaceByView(sidecar.workspace.view, sidecar.workspace.created_ns);
  if (sidecar.role == SidecarRole::kSnapshot) {
    if (!workspace) {
      throw Error(ENOENT, "give volume " + sidecar.volume.str() + " an entry",
                  "its workspace " + sidecar.workspace.name + " is gone");
    }
    return AdoptSnapshot(*workspace, sidecar.snapshot, sidecar.parent);
  }
  if (!workspace) {
    WorkspaceRecord again = sidecar.workspace;
    again.volume = sidecar.volume;
    again.parent_marker = 0;
    if (store_.catalog->IsViewUsed(again.view)) again.view = store_.NextView(ViewUse::kWorkspace);
    again.name = FirstFreeName(again.name, [&](const std::string& name) {
      return store_.catalog->FindWorkspace(name).has_value();
    });
    Catalog::Transaction transaction(*store_.catalog);
    transaction.Insert(again);
    store_.Commit(transaction);
    return "workspace " + again.name;
  }
  if (!inventory_.Has(workspace->volume)) {
    Catalog::Transaction transaction(*store_.catalog);
    transaction.SetLive(workspace->id, sidecar.volume, workspace->parent_id, 0);
    store_.Commit(transaction);
    return "the live tree of " + workspace->name;
  }
  const std::shared_ptr<Volume> opened = store_.backend->Open(sidecar.volume);
  SnapshotRecord state{.uuid = sidecar.volume,
                       .name = "recovered-" + sidecar.volume.str().substr(0, 8),
                       .volume = sidecar.volume,
                       .created_ns = store_.SnapshotTime(workspace->id),
                       .message = "Recovered by fsck: a live tree that had lost its entry",
                       .view = store_.NextView(ViewUse::kSnapshot),
                       .root = ReadRootAttributes(*opened)};
  return AdoptSnapshot(*workspace, state, sidecar.parent);
}

std::string Checker::AdoptSnapshot(const WorkspaceRecord& workspace, SnapshotRecord snapshot,
                                   const Uuid& parent) {
  snapshot.id = 0;
  snapshot.workspace_id = workspace.id;
  snapshot.name = store_.FreeSnapshotName(workspace.id, snapshot.name);
  if (store_.catalog->IsViewUsed(snapshot.view)) {
    snapshot.view = store_.NextView(ViewUse::kSnapshot);
  }
  const std::optional<SnapshotRecord> parent_row =
      parent.empty() ? std::nullopt : store_.catalog->FindSnapshot(parent);
  snapshot.parent_id = parent_row ? std::optional(parent_row->id) : std::nullopt;
  snapshot.state = SnapshotState::kOk;
  Catalog::Transaction transaction(*store_.catalog);
  transaction.Insert(snapshot);
  transaction.TouchSnapshots(workspace.id, NowNs());
  store_.Commit(transaction);
  return fmt::format("snapshot {} of {}", snapshot.name, workspace.name);
}

// --- Sidecars -----------------------------------------------------------------------------------

void Checker::CheckSidecar(const Sidecar& right, const std::string& what) {
  const auto [found, damage] = inventory_.ReadSidecar(right.volume);
  std::string problem;
  if (!damage.empty()) {
    problem = "is damaged: " + damage;
  } else if (!found) {
    problem = "is missing";
  } else if (!found->SameRow(right)) {
    problem = "is out of date";
  } else {
    return;
  }
  Mend(fmt::format("the sidecar of {} (volume {}) {}", what, right.volume.str(), problem),
       fmt::format("the sidecar of {} was written anew", what),
       [&] { store_.sidecars->WriteIfStale(right); });
}

void Checker::CheckSidecars() {
  for (const WorkspaceRecord& workspace : store_.catalog->ListWorkspaces()) {
    CheckSidecar(store_.sidecars->Describe(workspace), "workspace " + workspace.name);
  }
  for (const SnapshotVolume& snapshot : store_.catalog->ListSnapshotVolumes()) {
    const std::optional<SnapshotRecord> record = store_.catalog->FindSnapshot(snapshot.id);
    if (record) CheckSidecar(store_.sidecars->Describe(*record), "snapshot " + record->name);
  }
  const GarbageJudge judge(store_, inventory_);
  const MetaDirectory::Listing listing = store_.meta->List();
  for (const VolumeId& volume : inventory_.SidecarsOfNothing(listing)) {
    if (judge.WhySidecarUseless(volume).empty()) continue;
    const auto [sidecar, damage] = inventory_.ReadSidecar(volume);
    if (damage.empty() && (!sidecar || sidecar->IsUnfinished())) continue;
    Mend(fmt::format("the sidecar of volume {} has neither volume nor entry", volume.str()),
         fmt::format("the sidecar of volume {} was removed", volume.str()),
         [&] { store_.meta->Remove(volume); });
  }
  for (const std::string& name : listing.leftovers) {
    Mend(fmt::format("{} is left of a sidecar that was being written", name),
         fmt::format("{} was removed", name), [&] { store_.meta->RemoveLeftover(name); });
  }
  for (const std::string& name : listing.foreign) {
    Problem(fmt::format("{} is among the sidecars but is not one", name));
  }
}

void Checker::CheckStoreFile() {
  const MetaDirectory::StoreFile right = store_.sidecars->DescribeStore();
  if (store_.meta->ReadStore() == right) return;
  Mend("store.json is missing, damaged or out of date", "store.json was written anew",
       [&] { store_.meta->WriteStore(right); });
}

}  // namespace

FsckReport Store::Fsck(bool repair) {
  StoreContext& store = *impl_;
  const OperationLocks::Hold hold = store.operations.LockAll();
  if (repair && store.options.read_only) store.RequireWritable("repair the store");
  store.janitor->Drain();
  const MutexLock judging(store.judging);
  return Checker(store, repair).Run();
}

}  // namespace ckptfs
