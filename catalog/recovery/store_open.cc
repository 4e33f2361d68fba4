#include "catalog/recovery/store_open.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/time.h"
#include "backend/registry.h"
#include "catalog/db/catalog_copy.h"
#include "catalog/recovery/rebuild.h"
#include "catalog/recovery/recovery.h"

namespace ckptfs {
namespace {

constexpr char kNewCatalog[] = "catalog.db.new";
// A catalog up to this size is verified at each start; a larger one only after an unclean stop.
constexpr off_t kAlwaysVerifiedBytes = off_t{8} << 20;

// Opens a store whose lock is held. One object per opening.
class Opener {
 public:
  explicit Opener(StoreContext& store)
      : store_(store),
        fd_(store.directory.get()),
        catalog_fd_(store.catalog_copy.valid() ? store.catalog_copy.get() : fd_) {}
  void Run();

 private:
  void RequireMayCreate() const;
  void ResumeFirstMount();
  void MakeStore();
  void OpenRecorded();
  void OpenMeta();
  void Rebuild(const std::string& reason, const std::string& detected);
  std::unique_ptr<Catalog> TryOpenCatalog();
  void CheckRequestedBackend(const StoreFacts& facts) const;
  void OpenRecordedBackend(const StoreFacts& facts);
  StoreFacts FactsForRebuild(const std::string& detected) const;
  void SetAsideCatalog() const;
  bool Exists(const std::string& name) const { return HasEntry(catalog_fd_, name); }
  void SyncDirectory() const {
    CheckSyscall(fsync(catalog_fd_), "write out the store's directory");
  }
  void RemoveFile(const std::string& name) const;
  std::string ConcernedWorkspaces() const;
  std::string Attempted() const { return "open the store " + store_.options.path; }

  StoreContext& store_;
  const int fd_;
  const int catalog_fd_;  // of the directory with catalog.db: the store's, or a copy
  std::string damage_;    // why catalog.db cannot be used; empty: it can, or does not exist
};

void Opener::RemoveFile(const std::string& name) const {
  if (unlinkat(catalog_fd_, name.c_str(), 0) == 0 || errno == ENOENT) return;
  ThrowErrno("remove " + name, "Move it out of the store's directory");
}

void Opener::Run() {
  if (store_.first_mount.was_cut_short()) ResumeFirstMount();
  // Left by an interrupted rebuild; never in use.
  for (const char* suffix : Catalog::kSuffixes) RemoveFile(std::string(kNewCatalog) + suffix);

  if (Exists(Catalog::kFileName)) {
    if (!store_.options.read_only) {
      store_.reserve_is_log = store_.reserve.BecomeLog(Catalog::kLogName);
    }
    store_.catalog = TryOpenCatalog();
    if (store_.catalog) {
      OpenRecorded();
      return;
    }
  }
  const std::optional<std::string> detected = DetectBackend(fd_);
  if (detected) {
    Rebuild(damage_.empty() ? "was not there" : "was damaged (" + damage_ + ")", *detected);
  } else if (damage_.empty()) {
    MakeStore();
  } else {
    throw Error(EUCLEAN, Attempted(),
                "its catalog.db is damaged (" + damage_ + "), and it holds no volumes",
                "Put the store's other files back, or take an empty directory");
  }
}

std::unique_ptr<Catalog> Opener::TryOpenCatalog() {
  struct stat status {};
  CheckSyscall(fstatat(catalog_fd_, Catalog::kFileName, &status, AT_SYMLINK_NOFOLLOW),
               "stat catalog.db");
  const bool full = store_.lock->was_left_behind() || status.st_size <= kAlwaysVerifiedBytes;
  try {
    return Catalog::Open(catalog_fd_, Catalog::kFileName,
                         full ? CatalogCheck::kFull : CatalogCheck::kQuick);
  } catch (const Error& error) {
    // Any other error (no memory, a newer schema, I/O) may be gone later.
    if (error.errno_value() != EUCLEAN) throw;
    damage_ = error.why();
    return nullptr;
  }
}

void Opener::OpenMeta() {
  store_.meta = std::make_unique<MetaDirectory>(store_.backend->meta_fd(),
                                                store_.backend->capabilities().meta_needs_fsync);
  if (!store_.options.read_only) store_.meta->KeepSpares();
}

void Opener::RequireMayCreate() const {
  const StoreOptions& options = store_.options;
  if (options.create && !options.read_only) return;
  throw Error(ENOENT, Attempted(), "no store is there",
              options.read_only ? "Mount it once without ro to make one"
                                : "Mount it once without nocreate to make one");
}

// Nobody was served from it, since its note is removed before that. If there are workspaces all the same, the
// note is wrong: nothing of them is ever treated as a leftover.
void Opener::ResumeFirstMount() {
  if (Exists(Catalog::kFileName)) {
    const std::unique_ptr<Catalog> catalog = TryOpenCatalog();
    damage_.clear();
    if (catalog && !catalog->ListWorkspaces().empty()) return;
  }
  RequireMayCreate();
  spdlog::info("{}: its first mount was interrupted: starting over", store_.options.path);
  store_.first_mount.TakeAwayRest();
}

// The first mount. If it is killed, the next one finds its note and starts over (FirstMount); if it fails, it
// leaves nothing behind. An existing catalog.db is complete, as it gets its name at the end.
void Opener::MakeStore() {
  RequireMayCreate();
  const StoreOptions& options = store_.options;
  for (const char* suffix : Catalog::kSuffixes) {
    if (!Exists(std::string(Catalog::kFileName) + suffix)) continue;
    throw Error(EUCLEAN, Attempted(),
                "catalog.db and the volumes are gone, but not all of the store",
                "Put the store's other files back, or take an empty directory");
  }
  store_.first_mount.NoteNothingThere();
  const BackendChoice choice = ChooseBackend(fd_, options.backend);
  store_.first_mount.Begin();
  Failpoint("first.before-backend");
  CreateBackend(fd_, choice.type, options.backend_options);
  Failpoint("first.after-backend");
  const int64_t now_ns = NowNs();
  const StoreFacts facts{.uuid = Uuid::Generate(),
                         .created_ns = now_ns,
                         .backend_type = choice.type,
                         .backend_selection = choice.selection,
                         .backend_selected_ns = now_ns};
  store_.backend = OpenBackend(fd_, choice.type, options.backend_options);
  OpenMeta();
  // First the backend's own copy of how it was chosen: a rebuild needs it.
  store_.meta->WriteStore({.facts = facts, .mount_root = {.mode = S_IFDIR | 0755}, .settings = {}});
  Failpoint("first.before-catalog");
  Catalog::Create(catalog_fd_, kNewCatalog, facts);
  {
    const std::unique_ptr<Catalog> fresh =
        Catalog::Open(catalog_fd_, kNewCatalog, CatalogCheck::kQuick);
    Catalog::Transaction transaction(*fresh);
    InsertTemplatesOf(*store_.backend, transaction);
    transaction.CommitUncounted();
    fresh->MergeLog();
  }
  Failpoint("first.after-create");
  CheckSyscall(renameat(catalog_fd_, kNewCatalog, catalog_fd_, Catalog::kFileName),
               "name the new catalog.db");
  SyncDirectory();
  Failpoint("first.after-catalog");
  store_.catalog = Catalog::Open(catalog_fd_, Catalog::kFileName, CatalogCheck::kQuick);
  spdlog::info("{}: new store, backend {} ({})", options.path, choice.type, choice.selection);
}

void Opener::OpenRecorded() {
  const StoreFacts facts = store_.catalog->Facts();
  CheckRequestedBackend(facts);
  OpenRecordedBackend(facts);
  OpenMeta();
}

void Opener::CheckRequestedBackend(const StoreFacts& facts) const {
  const std::string& requested = store_.options.backend;
  if (requested.empty() || requested == "auto" || requested == facts.backend_type) return;
  throw Error(
      EINVAL, Attempted(),
      fmt::format("its backend is {}, chosen on {} ({}), and not {}", facts.backend_type,
                  FormatRfc3339(facts.backend_selected_ns), facts.backend_selection, requested),
      "Leave the option backend= out, or use another store");
}

std::string Opener::ConcernedWorkspaces() const {
  constexpr size_t kMostNamed = 8;
  std::string names;
  size_t count = 0;
  for (const WorkspaceRecord& workspace : store_.catalog->ListWorkspaces()) {
    if (++count > kMostNamed) continue;
    names += (names.empty() ? "" : ", ") + workspace.name;
  }
  if (count == 0) return "no workspace is concerned";
  if (count > kMostNamed) names += fmt::format(" and {} more", count - kMostNamed);
  return fmt::format("concerned: {}", names);
}

// The recorded backend is binding: if it is not available the store is refused, and nothing replaces it.
void Opener::OpenRecordedBackend(const StoreFacts& facts) {
  const auto refuse = [&](int error, const std::string& why, const std::string& hint) {
    throw Error(error, Attempted(),
                fmt::format("its backend {} ({}) is unavailable: {}; {}", facts.backend_type,
                            facts.backend_selection, why, ConcernedWorkspaces()),
                hint);
  };
  const std::vector<std::string> types = BackendTypes();
  if (std::find(types.begin(), types.end(), facts.backend_type) == types.end()) {
    refuse(ENOTSUP, "this program knows no such type",
           "Use a ckptfs that knows it, or set backend_type in catalog.db back to what it was");
  }
  const std::optional<std::string> detected = DetectBackend(fd_);
  if (detected && *detected != facts.backend_type) {
    refuse(EINVAL, fmt::format("the store's volumes are kept by {}", *detected),
           fmt::format("Set backend_type in catalog.db back to {}", *detected));
  }
  try {
    store_.backend = OpenBackend(fd_, facts.backend_type, store_.options.backend_options);
  } catch (const Error& error) {
    refuse(error.errno_value(), error.attempted() + ": " + error.why(),
           error.hint().empty() ? "Put the store's files back, from a backup if need be"
                                : error.hint());
  }
}

StoreFacts Opener::FactsForRebuild(const std::string& detected) const {
  const std::optional<MetaDirectory::StoreFile> file = store_.meta->ReadStore();
  if (file && file->facts.backend_type == detected) return file->facts;
  const int64_t now_ns = NowNs();
  return {.uuid = Uuid::Generate(),
          .created_ns = now_ns,
          .backend_type = detected,
          .backend_selection = "found when the catalog was rebuilt",
          .backend_selected_ns = now_ns};
}

// Moves catalog.db and its WAL out of the way. The WAL goes first: beside a new catalog.db it would be taken
// for that one's.
void Opener::SetAsideCatalog() const {
  const std::string stem = std::string(Catalog::kFileName) + ".damaged-" + FormatForName(NowNs());
  std::string aside = stem;
  for (int suffix = 2; Exists(aside) || Exists(aside + "-wal"); ++suffix) {
    aside = fmt::format("{}-{}", stem, suffix);
  }
  for (const char* suffix : {"-journal", "-shm", "-wal", ""}) {
    const std::string name = std::string(Catalog::kFileName) + suffix;
    if (!Exists(name)) continue;
    const std::string to = aside + suffix;
    CheckSyscall(renameat(catalog_fd_, name.c_str(), catalog_fd_, to.c_str()), "set aside " + name);
    Failpoint("rebuild.after-set-aside-log");
  }
}

// A new catalog from the sidecars. If killed before the last rename, the next start repeats all of it; after
// it, recovery finds a complete catalog.
void Opener::Rebuild(const std::string& reason, const std::string& detected) {
  const StoreOptions& options = store_.options;
  if (options.backend != "auto" && !options.backend.empty() && options.backend != detected) {
    throw Error(EINVAL, Attempted(),
                fmt::format("its backend is {}, and not {}", detected, options.backend),
                "Leave the option backend= out, or use another store");
  }
  store_.backend = OpenBackend(fd_, detected, options.backend_options);
  OpenMeta();
  const StoreFacts facts = FactsForRebuild(detected);
  Failpoint("rebuild.before-build");
  const RebuildPlan plan = PlanRebuild(*store_.backend, *store_.meta, {});
  Catalog::Create(catalog_fd_, kNewCatalog, facts);
  {
    const std::unique_ptr<Catalog> fresh =
        Catalog::Open(catalog_fd_, kNewCatalog, CatalogCheck::kQuick);
    Catalog::Transaction transaction(*fresh);
    ApplyRebuild(plan, transaction);
    InsertTemplatesOf(*store_.backend, transaction);
    if (const auto file = store_.meta->ReadStore()) {
      transaction.SetMountRoot(file->mount_root);
      transaction.ReplaceSettings(std::nullopt, file->settings);
    }
    transaction.Commit();
    fresh->MergeLog();
  }
  Failpoint("rebuild.after-build");
  SetAsideCatalog();
  SyncDirectory();
  Failpoint("rebuild.after-set-aside");
  CheckSyscall(renameat(catalog_fd_, kNewCatalog, catalog_fd_, Catalog::kFileName),
               "name the rebuilt catalog.db");
  SyncDirectory();
  Failpoint("rebuild.after-rename");
  store_.catalog = Catalog::Open(catalog_fd_, Catalog::kFileName, CatalogCheck::kQuick);
  store_.SetRebuilt();
  // An empty store without a catalog is an interrupted first mount: nothing to report.
  if (damage_.empty() && plan.workspaces.empty() && plan.snapshots.empty()) return;
  store_.Warn(
      fmt::format("catalog.db {} and was rebuilt from the sidecars: {} workspaces, {} "
                  "snapshots. Look whether all are there",
                  reason, plan.workspaces.size(), plan.snapshots.size()));
  for (const std::string& remark : plan.remarks) store_.Warn(remark);
}

}  // namespace

void OpenCatalogAndBackend(StoreContext& store) {
  if (store.options.read_only) store.catalog_copy = CopyCatalog(store.directory.get());
  Opener(store).Run();
}

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
  if (!options.read_only) {
    impl->reserve_is_out = !impl->MakeReserve();
    impl->backend->FollowDisk();
  }
  impl->SetOpened();
  return std::unique_ptr<Store>(new Store(std::move(impl)));  // NOLINT: the constructor is private
}

}  // namespace ckptfs
