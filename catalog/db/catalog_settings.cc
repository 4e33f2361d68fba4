// Settings in the catalog.
#include "catalog/db/catalog_transaction.h"

namespace ckptfs {
namespace {

SettingMap SoundOnes(Statement rows) {
  SettingMap sound;
  while (rows.Step()) {
    // One at a time: a catalog from elsewhere may have any number of rows.
    sound.merge(SoundSettings({{rows.Text(0), rows.Text(1)}}));
  }
  return sound;
}

}  // namespace

SettingMap Catalog::SettingsOf(std::optional<int64_t> workspace_id) const {
  const MutexLock lock(read_mutex_);
  if (!workspace_id) return SoundOnes(reader_.Query("SELECT key, value FROM store_setting"));
  return SoundOnes(reader_.Query("SELECT key, value FROM workspace_setting WHERE workspace_id = ?",
                                 *workspace_id));
}

void Catalog::Transaction::SetSetting(std::optional<int64_t> workspace_id, const std::string& key,
                                      const std::optional<std::string>& value) {
  if (!workspace_id) {
    database_.Run("DELETE FROM store_setting WHERE key = ?", key);
    if (value) database_.Run("INSERT INTO store_setting (key, value) VALUES (?, ?)", key, *value);
    return;
  }
  database_.Run("DELETE FROM workspace_setting WHERE workspace_id = ? AND key = ?", *workspace_id,
                key);
  if (!value) return;
  database_.Run("INSERT INTO workspace_setting (workspace_id, key, value) VALUES (?, ?, ?)",
                *workspace_id, key, *value);
}

void Catalog::Transaction::ReplaceSettings(std::optional<int64_t> workspace_id,
                                           const SettingMap& settings) {
  if (workspace_id) {
    database_.Run("DELETE FROM workspace_setting WHERE workspace_id = ?", *workspace_id);
  } else {
    database_.Run("DELETE FROM store_setting");
  }
  for (const auto& [key, value] : settings) SetSetting(workspace_id, key, value);
}

}  // namespace ckptfs
