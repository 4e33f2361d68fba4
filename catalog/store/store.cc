#include "catalog/store/store.h"

#include <spdlog/spdlog.h>

#include "backend/base/error.h"
#include "catalog/store/store_context.h"

namespace ckptfs {

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

void Store::Keep() {
  if (!impl_->options.read_only) impl_->first_mount.Finish();
}

Backend& Store::backend() noexcept { return *impl_->backend; }
StoreStatus Store::Status() const { return impl_->Status(); }
void Store::RequireWritable(const std::string& attempted) const {
  impl_->RequireWritable(attempted);
}
const Catalog& Store::rows() const noexcept { return *impl_->catalog; }

void Store::SetMountRoot(const RootAttributes& root) {
  const OperationLocks::Hold hold = impl_->operations.Lock({StoreContext::kMountRootLock});
  impl_->RequireWritable("change the mount root");
  Catalog::Transaction transaction(*impl_->catalog);
  transaction.SetMountRoot(root);
  impl_->Commit(transaction);
  // A crash before this leaves the old attributes in store.json; recovery rewrites it.
  impl_->RefreshStoreFile();
}

void Store::SetViewHolder(IsViewHeld is_held) { impl_->given_views.SetHolder(std::move(is_held)); }

void Store::MarkMissing(int64_t snapshot_id) {
  const std::optional<SnapshotRecord> snapshot = impl_->catalog->FindSnapshot(snapshot_id);
  if (!snapshot || snapshot->state == SnapshotState::kMissing) return;
  Catalog::Transaction transaction(*impl_->catalog);
  transaction.SetState(snapshot_id, SnapshotState::kMissing);
  transaction.CommitUncounted();
  spdlog::error("the data of snapshot {} is missing: volume {} is gone", snapshot->name,
                snapshot->volume.str());
}

}  // namespace ckptfs
