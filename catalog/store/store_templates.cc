// Adding and removing templates, and keeping them consistent with the backend.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "catalog/store/store_context.h"
#include "catalog/trees/names.h"

namespace ckptfs {
namespace {

// How many users of a template an error names.
constexpr size_t kNamedUsersMax = 8;

// Refuses names in a template's root that ckptfs needs for itself in workspaces made from it.
void RefuseReservedNames(int root_fd) {
  for (const std::string& name : ReadDirectory(root_fd)) {
    if (!IsReservedInWorkspace(name)) continue;
    throw Error(
        EPERM, "use it as a template",
        fmt::format("it has an entry {} at its root, a name that ckptfs keeps for itself", name),
        "Rename it");
  }
}

// Calls `make`; the template gets a row, or is removed.
template <typename Make>
TemplateInfo Add(StoreContext& store, const std::string& name, const Make& make) {
  const std::string attempted = "add template " + name;
  CheckName("template", name);
  store.RequireWritable(attempted);
  TemplateKeeper& keeper = RequireTemplates(store, attempted);
  const InWork::Template mark(store.in_work);
  const auto require_free = [&] {
    if (!store.catalog->FindTemplate(name)) return;
    throw Error(EEXIST, attempted, fmt::format("there is a template {} already", name));
  };
  require_free();
  RequireSpace(store, attempted);
  // The long part, without locks. On disk if power fails here or before the commit: an image that no row
  // names, which the next start removes.
  TemplateInfo info = make(keeper);
  const OperationLocks::Hold hold = store.operations.Lock({});
  Failpoint("template.before-commit");
  try {
    require_free();
    Catalog::Transaction transaction(*store.catalog);
    transaction.Insert(info);
    store.Commit(transaction);
  } catch (...) {
    keeper.Remove(info.id);
    throw;
  }
  Failpoint("template.after-commit");
  return info;
}

std::vector<std::string> UsersOf(const StoreContext& store, const TemplateId& id) {
  TemplateKeeper* keeper = store.backend->templates();
  std::vector<std::string> users;
  if (keeper == nullptr) return users;
  const auto is_user = [&](const VolumeId& volume) { return keeper->TemplateOf(volume) == id; };
  for (const WorkspaceRecord& workspace : store.catalog->ListWorkspaces()) {
    if (is_user(workspace.volume)) users.push_back(workspace.name);
    for (const SnapshotRecord& snapshot : store.catalog->ListSnapshots(workspace.id, 0, SIZE_MAX)) {
      if (is_user(snapshot.volume)) {
        users.push_back(fmt::format("{}/{}", workspace.name, snapshot.name));
      }
    }
  }
  return users;
}

}  // namespace

TemplateKeeper& RequireTemplates(const StoreContext& store, std::string_view attempted) {
  if (TemplateKeeper* keeper = store.backend->templates()) return *keeper;
  throw Error(ENOTSUP, attempted,
              fmt::format("the backend {} has no templates", store.backend->type()),
              "They are for stores with backend=dm-snapshot or dm-thin");
}

std::vector<TemplateInfo> Store::ListTemplates() const { return impl_->catalog->ListTemplates(); }

std::vector<std::string> Store::TemplateUsers(const TemplateId& id) const {
  return UsersOf(*impl_, id);
}

TemplateInfo Store::AddTemplateFromImage(const std::string& name, int image_fd) {
  return Add(*impl_, name, [&](TemplateKeeper& keeper) {
    return keeper.Import(name, image_fd, RefuseReservedNames);
  });
}

TemplateInfo Store::AddTemplateFromSnapshot(const std::string& name, int64_t snapshot_id) {
  return Add(*impl_, name, [&](TemplateKeeper& keeper) {
    const SnapshotRecord snapshot = [&] {
      const StoreContext::HeldSnapshot held = impl_->HoldSnapshot(snapshot_id);
      const std::string attempted = "flatten snapshot " + held.snapshot.name;
      impl_->RequireData(held.snapshot, attempted);
      impl_->RequireSettled(held.snapshot, attempted);
      return held.snapshot;
    }();
    return keeper.Flatten(name, snapshot.volume);
  });
}

TemplateInfo Store::AddTemplate(const std::string& name, const std::string& filesystem,
                                std::optional<uint64_t> size_bytes,
                                const std::function<void(int root_fd)>& fill) {
  return Add(*impl_, name, [&](TemplateKeeper& keeper) {
    const std::unique_ptr<PendingTemplate> pending =
        keeper.Begin(name, filesystem, size_bytes.value_or(keeper.DefaultSize()));
    if (fill) fill(pending->root_fd());
    return pending->Finish();
  });
}

void Store::RemoveTemplate(const std::string& name) {
  StoreContext& store = *impl_;
  const std::string attempted = "remove template " + name;
  // All: a workspace that is just being made from it is not among its users yet, as it has no row.
  const OperationLocks::Hold hold = store.operations.LockAll();
  store.RequireWritable(attempted);
  TemplateKeeper& keeper = RequireTemplates(store, attempted);
  const InWork::Template mark(store.in_work);
  const std::optional<TemplateInfo> info = store.catalog->FindTemplate(name);
  if (!info) {
    throw Error(ENOENT, attempted, "there is no such template", "'ckpt template list' shows them");
  }
  std::vector<std::string> users = UsersOf(store, info->id);
  if (!users.empty()) {
    const size_t count = users.size();
    users.resize(std::min(count, kNamedUsersMax));
    throw Error(EBUSY, attempted,
                fmt::format("{} workspaces and snapshots need it: {}{}", count,
                            fmt::join(users, ", "), count > users.size() ? ", ..." : ""),
                "Delete them first");
  }
  // Destroyed volumes that are still on disk do not need it, but the backend counts them.
  store.janitor->Drain();
  Failpoint("template-remove.before-commit");
  Catalog::Transaction transaction(*store.catalog);
  transaction.DeleteTemplate(info->id);
  store.Commit(transaction);
  // On disk: an image that no row names, which the next start removes.
  Failpoint("template-remove.after-commit");
  try {
    keeper.Remove(info->id);
  } catch (const Error& error) {
    spdlog::warn("{}: {}; the next start removes it", attempted, error.what());
  }
}

void InsertTemplatesOf(Backend& backend, Catalog::Transaction& transaction) {
  TemplateKeeper* keeper = backend.templates();
  if (keeper == nullptr) return;
  std::set<std::string> names;
  for (TemplateInfo& info : keeper->List()) {
    info.label = FirstFreeName(info.label,
                               [&](const std::string& name) { return !names.insert(name).second; });
    transaction.Insert(info);
  }
}

}  // namespace ckptfs
