#include "catalog/store/store_context.h"

#include <fmt/format.h>
#include <linux/xattr.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/time.h"
#include "catalog/store/unlinked_directory.h"
#include "catalog/trees/names.h"

namespace ckptfs {

StoreContext::StoreContext(StoreOptions store_options,
                           std::unique_ptr<MadeDirectory> made_directory, UniqueFd store_directory,
                           std::unique_ptr<StoreLock> store_lock)
    : options(std::move(store_options)),
      made(std::move(made_directory)),
      directory(std::move(store_directory)),
      lock(std::move(store_lock)),
      first_mount(directory.get(), *made, options.backend_options),
      reserve(directory.get()) {
  status_.source = options.path;
  status_.clean_start = !lock->was_left_behind();
  status_.read_only = options.read_only;
}

// If problems from before could not be repaired, this run does not end cleanly either.
StoreContext::~StoreContext() {
  // Sidecars may be among what is lost.
  if (Failure()) lock->Keep();
  if (backend) unsealed.SealAll(*backend);
  const bool mended = opened_ && !IsReadOnly();
  if (!status_.clean_start && !mended && !first_mount.nothing_there()) lock->Keep();
  janitor.reset();
  // Those that there was no space for until the end: the next mount writes them.
  if (sidecars && !options.read_only && !sidecars->WriteLate()) lock->Keep();
  // A mount that has failed leaves everything as it was.
  if (!catalog || options.read_only || !(opened_ || reserve_is_log)) return;
  reserve.HoldLog(Catalog::kLogName);
  sidecars.reset();
  catalog.reset();
  reserve.TakeHeldLog(Catalog::kLogName);
}

void StoreContext::RefreshSidecar(const VolumeId& volume) const {
  if (!sidecars->Refresh(volume)) janitor->RefreshLater();
}

void StoreContext::RefreshStoreFile() const {
  if (!sidecars->RefreshStore()) janitor->RefreshLater();
}

bool StoreContext::MakeReserve() const {
  catalog->AllocateLog();
  return reserve.Make();
}

void StoreContext::SetBackendFacts(const StoreFacts& facts) {
  const MutexLock guard(status_mutex_);
  status_.backend_type = facts.backend_type;
  status_.backend_selection = facts.backend_selection;
  status_.backend_selected_at_ns = facts.backend_selected_ns;
}

StoreStatus StoreContext::Status() const {
  const MutexLock guard(status_mutex_);
  return status_;
}

void StoreContext::Warn(const std::string& sentence) {
  spdlog::warn("{}: {}", options.path, sentence);
  const MutexLock guard(status_mutex_);
  status_.warnings.push_back(sentence);
}

bool StoreContext::IsReadOnly() const {
  const MutexLock guard(status_mutex_);
  return status_.read_only;
}

void StoreContext::SetReadOnly(bool read_only) {
  const MutexLock guard(status_mutex_);
  status_.read_only = read_only || options.read_only;
}

void StoreContext::RequireWritable(std::string_view attempted) const {
  if (!IsReadOnly()) {
    const std::optional<StorageFailure> failure = Failure();
    if (!failure || failure->kind != StorageFailure::Kind::kReadOnly) return;
    throw Error(EROFS, attempted, failure->reason, failure->remedy);
  }
  throw Error(
      EROFS, attempted,
      options.read_only ? "the store is mounted read-only" : "the catalog is older than the store",
      options.read_only ? "Mount it without ro" : "Run ckpt fsck --repair");
}

WorkspaceRecord StoreContext::Workspace(int64_t id) const {
  std::optional<WorkspaceRecord> workspace = catalog->FindWorkspace(id);
  if (!workspace) throw Error(ENOENT, "find the workspace", "it is not there any more");
  return *std::move(workspace);
}

SnapshotRecord StoreContext::Snapshot(int64_t id) const {
  std::optional<SnapshotRecord> snapshot = catalog->FindSnapshot(id);
  if (!snapshot) throw Error(ENOENT, "find the snapshot", "it is not there any more");
  return *std::move(snapshot);
}

void StoreContext::RequireData(const SnapshotRecord& snapshot, std::string_view attempted) const {
  if (snapshot.state == SnapshotState::kOk) return;
  throw Error(
      EIO, attempted, fmt::format("data is missing: volume {} is gone", snapshot.volume.str()),
      "Bring the volume back and mount again, or remove the entry with ckpt delete --force");
}

void StoreContext::RequireSettled(const SnapshotRecord& snapshot, std::string_view attempted) {
  unsealed.SealIfQuiet(*backend, snapshot.volume);
  if (!unsealed.IsInWriting(snapshot.volume)) return;
  throw Error(EBUSY, attempted,
              fmt::format("programs go on writing to {} since a rollback", snapshot.name),
              "Close their files first");
}

void StoreContext::Commit(Catalog::Transaction& transaction) const {
  const uint64_t generation = transaction.Commit();
  if (options.read_only) return;
  // If power fails here, the store's copy is one behind, which does no harm: only a copy that is ahead of the
  // catalog does.
  Failpoint("commit.before-generation");
  try {
    meta->SetGeneration(generation);
  } catch (const std::exception& error) {
    spdlog::warn("{}; the next change does it", error.what());
  }
}

void StoreContext::Destroy(const VolumeId& volume) noexcept {
  const InWork::Volume mark(in_work, volume);
  unsealed.Drop(volume);
  try {
    backend->Destroy(volume);
    janitor->Reap(volume);
  } catch (const std::exception& error) {
    spdlog::warn("destroy volume {}: {}; it is tried again", volume.str(), error.what());
    janitor->DestroyLater(volume);
  }
}

void StoreContext::Seal(const VolumeId& volume) const noexcept {
  try {
    backend->Seal(volume);
  } catch (const std::exception& error) {
    spdlog::error("make volume {} read-only: {}; the next start repeats it", volume.str(),
                  error.what());
  }
}

int64_t StoreContext::SnapshotTime(int64_t workspace_id) const {
  const std::optional<SnapshotRecord> newest = catalog->NewestSnapshot(workspace_id);
  return newest ? std::max(NowNs(), newest->created_ns + 1) : NowNs();
}

std::string StoreContext::FreeSnapshotName(int64_t workspace_id, const std::string& wanted) const {
  return FirstFreeName(wanted, [&](const std::string& name) {
    return catalog->FindSnapshot(workspace_id, name).has_value();
  });
}

StoreContext::HeldSnapshot StoreContext::HoldSnapshot(int64_t id) {
  OperationLocks::Hold hold = operations.Lock({Snapshot(id).workspace_id});
  return {std::move(hold), Snapshot(id)};
}

StagedVolume::StagedVolume(StoreContext& store, const Sidecar& sidecar)
    : store_(store), id_(sidecar.volume), in_work_(store.in_work, sidecar.volume) {
  try {
    store_.sidecars->Prepare(sidecar);
  } catch (const Error& error) {
    if (error.errno_value() != ENOSPC && error.errno_value() != EDQUOT) throw;
    // Its work frees the sidecars of destroyed volumes.
    store_.janitor->Drain();
    store_.sidecars->Prepare(sidecar);
  }
}

void StagedVolume::Committed() {
  committed_ = true;
  store_.janitor->Refresh(id_);
}

StagedVolume::~StagedVolume() {
  if (committed_) return;
  if (store_.catalog->is_uncertain()) {
    spdlog::error("volume {} is left for the next mount to judge", id_.str());
    return;
  }
  try {
    // The caller is told of a failure, so no checkpoint may appear after a power failure: recovery adopts
    // complete ones.
    if (store_.backend->Destroy(id_)) store_.backend->WaitDestroyed();
    store_.janitor->Reap(id_);
  } catch (const std::exception& error) {
    spdlog::warn("destroy volume {}: {}; it is tried again", id_.str(), error.what());
    store_.janitor->DestroyLater(id_);
    // Later transactions would make its sidecar look like one of a lost row; a tombstone prevents that.
    try {
      Catalog::Transaction transaction(*store_.catalog);
      transaction.AddTombstone(id_, std::nullopt, NowNs());
      transaction.CommitUncounted();
    } catch (const std::exception& second) {
      spdlog::error("remember that volume {} is debris: {}", id_.str(), second.what());
    }
  }
}

RootAttributes ReadRootAttributes(const Volume& volume) {
  struct stat status {};
  CheckSyscall(fstat(volume.root_fd(), &status), "stat the root of volume " + volume.id().str());
  RootAttributes root{
      .mode = status.st_mode, .uid = status.st_uid, .gid = status.st_gid, .acl = {}};
  std::array<char, 65536> acl{};  // XATTR_SIZE_MAX
  const ssize_t size =
      fgetxattr(volume.root_fd(), XATTR_NAME_POSIX_ACL_ACCESS, acl.data(), acl.size());
  if (size > 0) root.acl.assign(acl.data(), static_cast<size_t>(size));
  if (size < 0 && errno != ENODATA && errno != EOPNOTSUPP) {
    ThrowErrno("read the ACL of the root of volume " + volume.id().str());
  }
  std::array<char, 65536> names{};  // XATTR_LIST_MAX
  root.xattr_names.assign(names.data(),
                          static_cast<size_t>(CheckSyscall(
                              flistxattr(volume.root_fd(), names.data(), names.size()),
                              "list the xattrs of the root of volume " + volume.id().str())));
  return root;
}

void RemoveUnlinked(StoreContext& store, const VolumeId& fresh) {
  if (ClearUnlinkedFiles(*store.backend->Open(fresh)) == 0) return;
  // So that the volume's change marker, read next, includes the removal.
  store.backend->Sync(fresh);
}

}  // namespace ckptfs
