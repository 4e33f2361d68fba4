#include "catalog/store.h"

#include <spdlog/spdlog.h>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "catalog/store_context.h"
#include "catalog/store_open.h"

namespace ckptfs {
Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

std::unique_ptr<Store> Store::Open(const StoreOptions& options) {
  auto made = std::make_unique<MadeDirectory>(options.path);
  UniqueFd directory = OpenStoreDirectory(options, *made);
  RefuseForeignDirectory(directory.get(), options.path);
  Failpoint("first.before-lock");
  auto lock = std::make_unique<StoreLock>(directory.get(), options.read_only);
  auto impl =
      std::make_unique<Impl>(options, std::move(made), std::move(directory), std::move(lock));
  if (!impl->Status().clean_start) {
    impl->Warn("the last run did not end cleanly: the store is looked through");
  }
  OpenCatalogAndBackend(*impl);
  impl->SetBackendFacts(impl->catalog->Facts());
  impl->sidecars = std::make_unique<SidecarWriter>(*impl->catalog, *impl->meta);
  impl->janitor = std::make_unique<Janitor>(*impl->backend, *impl->catalog, *impl->meta,
                                            *impl->sidecars, impl->unsealed);
  impl->WithReserve([&] { Recover(*impl); });
  if (!options.read_only) impl->reserve.Make();
  impl->SetOpened();
  return std::unique_ptr<Store>(new Store(std::move(impl)));  // NOLINT: the constructor is private
}

void Store::Keep() {
  if (!impl_->options.read_only) impl_->first_mount.Finish();
}

Backend& Store::backend() noexcept { return *impl_->backend; }
StoreStatus Store::Status() const { return impl_->Status(); }

// --- What there is: rows, read without any lock of the operations -------------------------------

std::vector<WorkspaceRecord> Store::ListWorkspaces() const {
  return impl_->catalog->ListWorkspaces();
}

std::optional<WorkspaceRecord> Store::FindWorkspace(const std::string& name) const {
  return impl_->catalog->FindWorkspace(name);
}

std::optional<WorkspaceRecord> Store::FindWorkspace(int64_t id) const {
  return impl_->catalog->FindWorkspace(id);
}

std::vector<SnapshotRecord> Store::ListSnapshots(int64_t workspace_id, int64_t after_id,
                                                 size_t limit) const {
  return impl_->catalog->ListSnapshots(workspace_id, after_id, limit);
}

std::optional<SnapshotRecord> Store::FindSnapshot(int64_t workspace_id,
                                                  const std::string& name) const {
  return impl_->catalog->FindSnapshot(workspace_id, name);
}

std::optional<SnapshotRecord> Store::FindSnapshot(int64_t id) const {
  return impl_->catalog->FindSnapshot(id);
}

std::optional<SnapshotRecord> Store::NewestSnapshot(int64_t workspace_id) const {
  return impl_->catalog->NewestSnapshot(workspace_id);
}

std::optional<SnapshotRecord> Store::NewestCheckpoint(int64_t workspace_id, uint64_t n) const {
  return impl_->catalog->NewestCheckpoint(workspace_id, n);
}

uint64_t Store::CountSnapshots(int64_t workspace_id) const {
  return impl_->catalog->CountSnapshots(workspace_id);
}

uint64_t Store::CountCheckpoints(int64_t workspace_id) const {
  return impl_->catalog->CountCheckpoints(workspace_id);
}

int64_t Store::LargestSnapshotId(int64_t workspace_id) const {
  return impl_->catalog->LargestSnapshotId(workspace_id);
}

std::optional<OpenWriterList> Store::OpenWriters(int64_t snapshot_id) const {
  return impl_->catalog->OpenWriters(snapshot_id);
}

int64_t Store::SnapshotsChangedNs(int64_t workspace_id) const {
  return impl_->catalog->SnapshotsChangedNs(workspace_id);
}

// --- Small settings -----------------------------------------------------------------------------

RootAttributes Store::MountRoot() const { return impl_->catalog->MountRoot(); }

void Store::SetMountRoot(const RootAttributes& root) {
  const OperationLocks::Hold hold = impl_->operations.Lock({StoreContext::kMountRootLock});
  impl_->RequireWritable("change the mount root");
  Catalog::Change change(*impl_->catalog);
  change.SetMountRoot(root);
  impl_->Commit(change);
  // A crash before this leaves the old attributes in store.json, of which only a rebuild would ever
  // hear.
  try {
    impl_->meta->WriteStore(impl_->catalog->Facts(), root);
  } catch (const std::exception& error) {
    spdlog::warn("store.json: {}; fsck writes it", error.what());
  }
}

void Store::SetViewHolder(IsViewHeld is_held) { impl_->given_views.SetHolder(std::move(is_held)); }

void Store::MarkMissing(int64_t snapshot_id) {
  const std::optional<SnapshotRecord> snapshot = impl_->catalog->FindSnapshot(snapshot_id);
  if (!snapshot || snapshot->state == SnapshotState::kMissing) return;
  Catalog::Change change(*impl_->catalog);
  change.SetState(snapshot_id, SnapshotState::kMissing);
  change.CommitUncounted();
  spdlog::error("the data of snapshot {} is missing: volume {} is gone", snapshot->name,
                snapshot->volume.str());
}

}  // namespace ckptfs
