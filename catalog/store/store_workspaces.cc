// Workspaces: create, import, fork, rename, remove.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/text.h"
#include "backend/base/time.h"
#include "catalog/store/store_context.h"
#include "catalog/trees/names.h"

namespace ckptfs {
namespace {

void RequireFreeName(const StoreContext& store, const std::string& name,
                     std::string_view attempted) {
  CheckName("workspace", name);
  if (store.catalog->FindWorkspace(name)) {
    throw Error(EEXIST, attempted, fmt::format("there is a workspace {} already", name));
  }
}

void SetRootAttributes(const Volume& volume, const RootAttributes& root) {
  const int fd = volume.root_fd();
  CheckSyscall(fchown(fd, root.uid, root.gid), "give the new workspace its owner");
  CheckSyscall(fchmod(fd, root.mode & 07777), "give the new workspace its mode");
  if (root.acl.empty()) return;
  CheckSyscall(fsetxattr(fd, XATTR_NAME_POSIX_ACL_ACCESS, root.acl.data(), root.acl.size(), 0),
               "give the new workspace its ACL");
}

Sidecar WorkspaceSidecar(const WorkspaceRecord& workspace, SidecarState state) {
  Sidecar sidecar;
  sidecar.volume = workspace.volume;
  sidecar.role = SidecarRole::kWorkspace;
  sidecar.state = state;
  sidecar.workspace = workspace;
  return sidecar;
}

// The template for a new workspace; empty if the backend has none.
std::optional<TemplateId> FindBase(const StoreContext& store, const std::string& name,
                                   const std::string& attempted) {
  if (name.empty() && store.backend->templates() == nullptr) return std::nullopt;
  RequireTemplates(store, attempted);
  const std::string wanted = name.empty() ? kDefaultTemplate : name;
  const std::optional<TemplateInfo> found = store.catalog->FindTemplate(wanted);
  if (found) return found->id;
  throw Error(
      ENOENT, attempted, fmt::format("there is no template {}", wanted),
      name.empty()
          ? "Add one of that name (ckpt template add), or name another: ckpt init --template"
          : "'ckpt template list' shows them");
}

// Creates an empty volume, or one from a template.
void CreateVolume(const StoreContext& store, const VolumeId& id,
                  const std::optional<TemplateId>& from) {
  if (from) {
    store.backend->CreateFrom(id, *from);
  } else {
    store.backend->CreateEmpty(id);
  }
}

}  // namespace

WorkspaceRecord Store::CreateWorkspace(const std::string& name, const RootAttributes& root,
                                       const std::string& from) {
  const std::string attempted = "make workspace " + name;
  StoreContext& store = *impl_;
  const OperationLocks::Hold operation = store.operations.Lock({});
  RequireFreeName(store, name, "make a workspace");
  store.RequireWritable(attempted);
  const std::optional<TemplateId> base = FindBase(store, from, attempted);
  RequireSpace(store, attempted);

  const GivenViews::Number view = store.NextView(ViewUse::kWorkspace);
  WorkspaceRecord workspace{
      .name = name, .volume = VolumeId::Generate(), .created_ns = NowNs(), .view = view};
  Failpoint("workspace.before-sidecar");
  StagedVolume volume(store, WorkspaceSidecar(workspace, SidecarState::kPrepared));
  // On disk: a sidecar without a volume. Recovery removes it.
  Failpoint("workspace.after-sidecar");
  CreateVolume(store, volume.id(), base);
  // On disk: a volume whose sidecar says "prepared" for a transaction that has not happened. Recovery removes
  // both. The same holds until the commit.
  Failpoint("workspace.after-volume");
  const std::shared_ptr<Volume> opened = store.backend->Open(volume.id());
  SetRootAttributes(*opened, root);
  CheckSyscall(fsync(opened->root_fd()), "make the root of a new workspace durable");
  Failpoint("workspace.before-commit");
  Catalog::Transaction transaction(*store.catalog);
  workspace.id = transaction.Insert(workspace);
  store.Commit(transaction);
  volume.Committed();
  // On disk: everything, except that a sidecar still says "prepared". Recovery updates it.
  Failpoint("workspace.after-commit");
  return workspace;
}

// --- Import -------------------------------------------------------------------------------------

namespace {

// A volume that the caller fills. On disk until Commit: a volume whose sidecar says "filling", which recovery
// removes with all its contents (the import's source still exists).
class ImportedWorkspace final : public PendingWorkspace {
 public:
  ImportedWorkspace(StoreContext& store, const std::string& name)
      : store_(store),
        record_{.name = name, .volume = VolumeId::Generate()},
        prepared_(store, WorkspaceSidecar(record_, SidecarState::kFilling)) {
    CreateVolume(store, record_.volume, FindBase(store, {}, "make workspace " + name));
    Failpoint("import.after-volume");
    volume_ = store.backend->Open(record_.volume);
  }

  Volume& volume() override { return *volume_; }

  WorkspaceRecord Commit() override {
    // The long part, without locks.
    store_.backend->Sync(record_.volume);
    const OperationLocks::Hold operation = store_.operations.Lock({});
    RequireFreeName(store_, record_.name, "make workspace " + record_.name);
    record_.created_ns = NowNs();
    const GivenViews::Number view = store_.NextView(ViewUse::kWorkspace);
    record_.view = view;
    store_.sidecars->PrepareFilled(WorkspaceSidecar(record_, SidecarState::kPrepared));
    store_.backend->WaitDurable();
    Failpoint("import.before-commit");
    Catalog::Transaction transaction(*store_.catalog);
    record_.id = transaction.Insert(record_);
    store_.Commit(transaction);
    prepared_.Committed();
    Failpoint("import.after-commit");
    return record_;
  }

 private:
  StoreContext& store_;
  WorkspaceRecord record_;
  StagedVolume prepared_;
  std::shared_ptr<Volume> volume_;
};

}  // namespace

std::unique_ptr<PendingWorkspace> Store::BeginWorkspace(const std::string& name) {
  StoreContext& store = *impl_;
  const std::string attempted = "make workspace " + name;
  RequireFreeName(store, name, "make a workspace");
  store.RequireWritable(attempted);
  RequireSpace(store, attempted);
  return std::make_unique<ImportedWorkspace>(store, name);
}

// --- Fork ---------------------------------------------------------------------------------------

WorkspaceRecord Store::Fork(int64_t snapshot_id, const std::string& name) {
  StoreContext& store = *impl_;
  const StoreContext::HeldSnapshot held = store.HoldSnapshot(snapshot_id);
  const SnapshotRecord& snapshot = held.snapshot;
  const std::string attempted = fmt::format("fork snapshot {}", snapshot.name);
  RequireFreeName(store, name, attempted);
  store.RequireWritable(attempted);
  store.RequireData(snapshot, attempted);
  store.RequireSettled(snapshot, attempted);
  RequireSpace(store, attempted);

  const GivenViews::Number view = store.NextView(ViewUse::kWorkspace);
  WorkspaceRecord workspace{.name = name,
                            .volume = VolumeId::Generate(),
                            .created_ns = NowNs(),
                            .view = view,
                            .parent_id = snapshot.id};
  Sidecar sidecar = WorkspaceSidecar(workspace, SidecarState::kPrepared);
  sidecar.parent = snapshot.uuid;
  Failpoint("fork.before-sidecar");
  // The states on disk and their recovery are the same as in CreateWorkspace.
  StagedVolume volume(store, sidecar);
  Failpoint("fork.after-sidecar");
  store.backend->Clone(snapshot.volume, volume.id());
  Failpoint("fork.after-clone");
  RemoveUnlinked(store, volume.id());
  workspace.parent_marker = store.backend->ChangeMarker(volume.id());
  Failpoint("fork.before-commit");
  Catalog::Transaction transaction(*store.catalog);
  workspace.id = transaction.Insert(workspace);
  store.Commit(transaction);
  volume.Committed();
  Failpoint("fork.after-commit");
  return workspace;
}

// --- Renamed and removed ------------------------------------------------------------------------

void Store::RenameWorkspace(int64_t workspace_id, const std::string& new_name) {
  StoreContext& store = *impl_;
  const OperationLocks::Hold operation = store.operations.Lock({workspace_id});
  const WorkspaceRecord workspace = store.Workspace(workspace_id);
  if (workspace.name == new_name) return;
  const std::string attempted = "rename workspace " + workspace.name;
  RequireFreeName(store, new_name, attempted);
  store.RequireWritable(attempted);
  Failpoint("rename-workspace.before-commit");
  Catalog::Transaction transaction(*store.catalog);
  transaction.RenameWorkspace(workspace_id, new_name);
  store.Commit(transaction);
  // On disk: the new name, and the old one in the sidecar, which recovery updates.
  Failpoint("rename-workspace.after-commit");
  store.RefreshSidecar(workspace.volume);
}

namespace {

// Names the first snapshots: they are hidden, so that whoever has emptied the workspace may not know of them.
std::string DescribeSnapshots(const StoreContext& store, int64_t workspace_id, uint64_t count) {
  constexpr size_t kNamedMax = 5;
  std::string names;
  for (const SnapshotRecord& snapshot : store.catalog->ListSnapshots(workspace_id, 0, kNamedMax)) {
    names += (names.empty() ? "" : ", ") + QuoteName(snapshot.name);
  }
  return fmt::format("it has {} snapshots: {}{}", count, names, count > kNamedMax ? ", ..." : "");
}

class WorkspaceRemoval final : public PendingRemoval {
 public:
  WorkspaceRemoval(StoreContext& store, int64_t workspace_id)
      : store_(store),
        operation_(store.operations.Lock({workspace_id})),
        workspace_(store.Workspace(workspace_id)) {
    const std::string attempted = "remove workspace " + workspace_.name;
    store.RequireWritable(attempted);
    if (const uint64_t count = store.catalog->CountSnapshots(workspace_id); count > 0) {
      throw Error(ENOTEMPTY, attempted, DescribeSnapshots(store, workspace_id, count),
                  "Delete them first, or remove all of it with ckpt forget");
    }
  }

  void Commit() override {
    Failpoint("remove-workspace.before-commit");
    store_.WithReserve([&] {
      Catalog::Transaction transaction(*store_.catalog);
      transaction.DeleteWorkspace(workspace_.id);
      transaction.AddTombstone(workspace_.volume, workspace_.view, NowNs());
      store_.Commit(transaction);
    });
    // On disk: no workspace, and a tombstone for its volume, which recovery destroys.
    Failpoint("remove-workspace.after-commit");
  }

  void Finish() override {
    store_.Destroy(workspace_.volume);
    Failpoint("remove-workspace.after-destroy");
    operation_.reset();
  }

 private:
  StoreContext& store_;
  std::optional<OperationLocks::Hold> operation_;
  const WorkspaceRecord workspace_;
};

}  // namespace

std::unique_ptr<PendingRemoval> Store::BeginRemoval(int64_t workspace_id) {
  return std::make_unique<WorkspaceRemoval>(*impl_, workspace_id);
}

}  // namespace ckptfs
