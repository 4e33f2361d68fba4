// Settings of the store and of its workspaces.
#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "catalog/store/store_context.h"

namespace ckptfs {

Settings StoreContext::SettingsFor(std::optional<int64_t> workspace_id) const {
  return {catalog->SettingsOf(std::nullopt),
          workspace_id ? catalog->SettingsOf(workspace_id) : SettingMap()};
}

Settings Store::SettingsFor(std::optional<int64_t> workspace_id) const {
  return impl_->SettingsFor(workspace_id);
}

// On disk between the commit and the end: the new setting in the catalog and the old one in the sidecar,
// which recovery rewrites.
void Store::SetSetting(std::optional<int64_t> workspace_id, const std::string& key,
                       const std::optional<std::string>& value) {
  if (value) {
    RequireSoundSetting(key, *value);
  } else {
    RequireSettingKey(key);
  }
  if (workspace_id && IsOfStoreOnly(key)) {
    throw Error(EINVAL, "set " + key, "it holds for the whole store",
                "Set it for that: ckpt config --store");
  }
  StoreContext& store = *impl_;
  const OperationLocks::Hold hold =
      store.operations.Lock({workspace_id.value_or(StoreContext::kMountRootLock)});
  store.RequireWritable("set " + key);
  const VolumeId volume = workspace_id ? store.Workspace(*workspace_id).volume : VolumeId();
  Failpoint("setting.before-commit");
  {
    Catalog::Transaction transaction(*store.catalog);
    transaction.SetSetting(workspace_id, key, value);
    store.Commit(transaction);
  }
  Failpoint("setting.after-commit");
  if (workspace_id) {
    store.RefreshSidecar(volume);
  } else {
    store.RefreshStoreFile();
  }
  Failpoint("setting.after-sidecar");
}

}  // namespace ckptfs
