#include "catalog/recovery/recovery.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/time.h"
#include "catalog/recovery/garbage.h"
#include "catalog/recovery/inventory.h"
#include "catalog/store/unlinked_directory.h"

namespace ckptfs {
namespace {

// One pass over catalog, volumes and sidecars. Each step repairs one kind of unfinished work, and looks only
// at what is on disk: if it is killed anywhere, the next pass does the rest.
class Recovery {
 public:
  explicit Recovery(StoreContext& store);
  void Run();

 private:
  void CompareGenerations();
  void SettleTemplates();
  void RepeatDestructions();
  void AdoptCheckpoints();
  bool IsLostCheckpoint(const Sidecar& sidecar) const;
  bool Adopt(const Sidecar& sidecar);
  void JudgeVolumesWithoutRow();
  void SetStates();
  void SetState(Catalog::Transaction& transaction, const SnapshotVolume& snapshot);
  void SealSnapshots();
  void RemoveUnlinkedFiles();
  template <typename Action>
  bool TellIfHindered(const std::string& what, const Action& action);
  void ReconcileSidecars();

  StoreContext& store_;
  Inventory inventory_;
  const GarbageJudge judge_;
  bool may_mend_ = true;   // false: the store is read-only, so nothing in it is deleted or changed
  bool may_adopt_ = true;  // false: the catalog is older than the store
};

Recovery::Recovery(StoreContext& store)
    : store_(store),
      inventory_(*store.backend, *store.meta, *store.catalog),
      judge_(store, inventory_) {}

void Recovery::Run() {
  Failpoint("recovery.begin");
  CompareGenerations();
  SettleTemplates();
  Failpoint("recovery.after-templates");
  RepeatDestructions();
  Failpoint("recovery.after-tombstones");
  AdoptCheckpoints();
  Failpoint("recovery.after-adoption");
  // Before anything else that raises the catalog's generation, by which debris is recognised.
  JudgeVolumesWithoutRow();
  Failpoint("recovery.after-debris");
  SetStates();
  Failpoint("recovery.after-states");
  SealSnapshots();
  Failpoint("recovery.after-seal");
  RemoveUnlinkedFiles();
  Failpoint("recovery.after-unlinked");
  if (!store_.Status().clean_start || store_.rebuilt()) ReconcileSidecars();
  Failpoint("recovery.after-sidecars");
}

// If the store has recorded a transaction that the catalog lacks, the catalog is an old one, restored from a
// backup. What it does not know may be what its owner misses most.
void Recovery::CompareGenerations() {
  const std::optional<uint64_t>& seen = inventory_.store_generation();
  if (!seen)
    store_.Warn(inventory_.generation_damage() + "; it is written anew at the next change");
  const uint64_t known = store_.catalog->Generation();
  if (seen && *seen > known) {
    may_adopt_ = false;
    store_.SetReadOnly(true);
    store_.Warn(fmt::format(
        "catalog.db is older than the store ({} changes behind; put back from a backup?): mounted "
        "read-only. Run ckpt fsck --repair, which adds what is missing from the sidecars",
        *seen - known));
  }
  may_mend_ = !store_.IsReadOnly();
}

// Tells the backend the catalog's templates, and removes those of an interrupted addition or removal.
void Recovery::SettleTemplates() {
  TemplateKeeper* keeper = store_.backend->templates();
  if (keeper == nullptr) return;
  for (const TemplateInfo& info : store_.catalog->ListTemplates()) keeper->Expect(info);
  if (!may_mend_) return;
  for (const TemplateWithoutRow& found : TemplatesWithoutRow(store_)) {
    if (found.is_needed) {
      store_.Warn(
          fmt::format("template {} ({}) has no entry in the catalog, and volumes that need "
                      "it: it is left alone. ckpt fsck tells more",
                      found.info.label, found.info.id.str()));
      continue;
    }
    keeper->Remove(found.info.id);
    spdlog::warn("{}: the template {} of an operation that was cut short is removed",
                 store_.options.path, found.info.label);
  }
}

// Deletions that may be unfinished: a destroyed volume can come back after a power failure.
void Recovery::RepeatDestructions() {
  if (!may_mend_) return;
  for (const VolumeId& volume : inventory_.tombstones()) store_.Destroy(volume);
}

// Checkpoints that were reported, or about to be, while their transactions are missing from the catalog:
// those are not durable at once, unlike snapshot and sidecar (Store::Checkpoint). Every other transaction
// also makes those before it durable. With -o ro they get rows only in the copy of the catalog.
void Recovery::AdoptCheckpoints() {
  if (!may_adopt_) return;
  std::vector<Sidecar> found;
  for (const VolumeId& volume : inventory_.Strangers()) {
    std::optional<Sidecar> sidecar = inventory_.ReadSidecar(volume).sidecar;
    if (sidecar && IsLostCheckpoint(*sidecar)) found.push_back(*std::move(sidecar));
  }
  // A checkpoint derives from an older one of its workspace.
  std::sort(found.begin(), found.end(), [](const Sidecar& a, const Sidecar& b) {
    return a.snapshot.created_ns < b.snapshot.created_ns;
  });
  for (const Sidecar& sidecar : found) {
    if (Adopt(sidecar)) inventory_.Own(sidecar.volume, *store_.catalog);
  }
}

// Transactions of other workspaces may have come between its sidecar and its own transaction, so the
// generation tells only that its transaction was to come. Its workspace tells that it was lost, and not
// rolled back: checkpoints of one workspace are made one at a time, and any transaction that removes a
// snapshot, or gives the workspace another live tree, would have made it durable.
bool Recovery::IsLostCheckpoint(const Sidecar& sidecar) const {
  if (sidecar.role != SidecarRole::kSnapshot || sidecar.state != SidecarState::kPrepared)
    return false;
  const std::optional<WorkspaceRecord> workspace =
      store_.catalog->FindWorkspaceByView(sidecar.workspace.view, sidecar.workspace.created_ns);
  if (!workspace || workspace->volume != sidecar.workspace.volume) return false;
  const std::optional<SnapshotRecord> newest = store_.catalog->NewestSnapshot(workspace->id);
  return !newest || newest->created_ns < sidecar.snapshot.created_ns;
}

// Returns false on failure, which JudgeVolumesWithoutRow reports.
bool Recovery::Adopt(const Sidecar& sidecar) {
  const std::optional<WorkspaceRecord> workspace =
      store_.catalog->FindWorkspaceByView(sidecar.workspace.view, sidecar.workspace.created_ns);
  if (!workspace) return false;
  SnapshotRecord snapshot = sidecar.snapshot;
  snapshot.volume = sidecar.volume;
  snapshot.workspace_id = workspace->id;
  if (!sidecar.parent.empty()) {
    const std::optional<SnapshotRecord> parent = store_.catalog->FindSnapshot(sidecar.parent);
    if (parent) snapshot.parent_id = parent->id;
  }
  try {
    const uint64_t marker = store_.backend->ChangeMarker(sidecar.volume);
    Catalog::Transaction transaction(*store_.catalog);
    InsertCheckpoint(transaction, snapshot, workspace->volume, marker);
    store_.Commit(transaction);
  } catch (const Error& error) {
    if (error.errno_value() != EEXIST) throw;
    return false;
  }
  spdlog::warn("{}: the checkpoint {}/{}, made just before the crash, is taken into the catalog",
               store_.options.path, workspace->name, snapshot.name);
  return true;
}

// A volume without a row is either what a crashed operation made before its transaction, or unexplained. The
// latter is never deleted. Nobody else is at work yet, so the age of the former does not matter.
void Recovery::JudgeVolumesWithoutRow() {
  std::vector<VolumeId> useless;
  for (const VolumeId& volume : inventory_.Strangers()) {
    if (judge_.WhyUseless(volume).empty()) {
      store_.Warn(fmt::format(
          "volume {} has no entry in the catalog: it is left alone. ckpt fsck tells more",
          volume.str()));
    } else if (may_mend_) {
      spdlog::warn("{}: volume {} of an operation that was cut short is removed",
                   store_.options.path, volume.str());
      useless.push_back(volume);
    }
  }
  if (useless.empty()) return;
  Entomb(store_, useless);
  for (const VolumeId& volume : useless) store_.Destroy(volume);
}

void Recovery::SetStates() {
  Catalog::Transaction transaction(*store_.catalog);
  for (const SnapshotVolume& snapshot : inventory_.snapshots()) SetState(transaction, snapshot);
  // The next start would find it again: the store need not record it.
  transaction.CommitUncounted();
  for (const WorkspaceRecord& workspace : inventory_.workspaces()) {
    const std::optional<bool> read_only = inventory_.IsReadOnly(workspace.volume);
    if (!read_only) {
      store_.Warn(fmt::format(
          "the data of workspace {} is missing: volume {} is gone. Roll it back to a snapshot, or "
          "bring the volume back and mount again",
          workspace.name, workspace.volume.str()));
    } else if (*read_only && !store_.options.backend_options.read_only) {
      store_.Warn(fmt::format("the volume {} of workspace {} is read-only. Run ckpt fsck",
                              workspace.volume.str(), workspace.name));
    }
  }
}

void Recovery::SetState(Catalog::Transaction& transaction, const SnapshotVolume& snapshot) {
  const bool there = inventory_.Has(snapshot.volume);
  const SnapshotState state = there ? SnapshotState::kOk : SnapshotState::kMissing;
  const std::optional<WorkspaceRecord> workspace =
      store_.catalog->FindWorkspace(snapshot.workspace_id);
  const std::string name = fmt::format("{}/{}", workspace ? workspace->name : "?", snapshot.name);
  if (!there) {
    store_.Warn(fmt::format(
        "the data of snapshot {} is missing: volume {} is gone. Bring the volume back and mount "
        "again, or remove the entry with ckpt delete --force",
        name, snapshot.volume.str()));
  }
  if (state == snapshot.state) return;
  if (there) spdlog::warn("{}: the data of snapshot {} is back", store_.options.path, name);
  transaction.SetState(snapshot.id, state);
}

// A rollback interrupted after its transaction: the previous state is already a snapshot, but its volume is
// still writable.
void Recovery::SealSnapshots() {
  if (!may_mend_) return;
  for (const SnapshotVolume& snapshot : inventory_.snapshots()) {
    if (inventory_.IsReadOnly(snapshot.volume) == false) store_.Seal(snapshot.volume);
  }
}

// Files in live trees that were unlinked but open: they are not open any more. Snapshots keep theirs.
void Recovery::RemoveUnlinkedFiles() {
  if (!may_mend_) return;
  for (const WorkspaceRecord& workspace : inventory_.workspaces()) {
    // Missing or damaged: reported above.
    if (inventory_.IsReadOnly(workspace.volume) != false) continue;
    try {
      const uint64_t count = ClearUnlinkedFiles(*store_.backend->Open(workspace.volume));
      if (count == 0) continue;
      spdlog::info("{}: {} files of workspace {} that were unlinked but open are removed",
                   store_.options.path, count, workspace.name);
    } catch (const Error& error) {
      // They are invisible, and take space until the next start.
      store_.Warn(fmt::format("clean up workspace {}: {}", workspace.name, error.what()));
    }
  }
}

// Runs a step that the store can do without for now: mounting must succeed for a user who wants to free
// space, or to remove what stands where files should be.
template <typename Action>
bool Recovery::TellIfHindered(const std::string& what, const Action& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    const int number = error.errno_value();
    const bool is_full = number == ENOSPC || number == EDQUOT;
    if (!is_full && number != EISDIR && number != ENOTEMPTY) throw;
    spdlog::warn("{}: {}; fsck writes it when {}", what, error.what(),
                 is_full ? "there is room" : "the directory of that name is gone");
    return false;
  }
}

// The catalog is right. Sidecars of rows that changed just before the crash are updated, and those of volumes
// that were never made, or are gone, are removed.
void Recovery::ReconcileSidecars() {
  if (!may_mend_) return;
  size_t written = 0;
  const auto write = [&](const Sidecar& right) {
    const bool is_right = TellIfHindered("sidecar of volume " + right.volume.str(), [&] {
      written += store_.sidecars->WriteIfStale(right) ? 1 : 0;
    });
    if (!is_right) store_.RefreshSidecar(right.volume);  // once more, and again until it can be
  };
  for (const WorkspaceRecord& workspace : store_.catalog->ListWorkspaces()) {
    write(store_.sidecars->Describe(workspace));
  }
  for (const SnapshotVolume& snapshot : store_.catalog->ListSnapshotVolumes()) {
    const std::optional<SnapshotRecord> record = store_.catalog->FindSnapshot(snapshot.id);
    if (record) write(store_.sidecars->Describe(*record));
  }
  const MetaDirectory::Listing listing = store_.meta->List();
  for (const std::string& name : listing.leftovers) {
    TellIfHindered("the rest of a sidecar", [&] { store_.meta->RemoveLeftover(name); });
  }
  size_t removed = 0;
  for (const VolumeId& volume : inventory_.SidecarsOfNothing(listing)) {
    if (judge_.WhySidecarUseless(volume).empty()) continue;
    TellIfHindered("sidecar of volume " + volume.str(),
                   [&] { removed += store_.meta->Remove(volume) ? 1 : 0; });
  }
  const MetaDirectory::StoreFile right = store_.sidecars->DescribeStore();
  if (store_.meta->ReadStore() != right) {
    const bool is_right =
        TellIfHindered(MetaDirectory::kStoreFileName, [&] { store_.meta->WriteStore(right); });
    if (!is_right) store_.RefreshStoreFile();
  }
  if (written + removed == 0) return;
  spdlog::warn("{}: {} sidecars were brought up to date and {} removed", store_.options.path,
               written, removed);
}

}  // namespace

void Recover(StoreContext& store) { Recovery(store).Run(); }

}  // namespace ckptfs
