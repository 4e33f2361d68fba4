#include "backend/dm/dm_backend.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/partial_file.h"
#include "backend/compare/comparison.h"
#include "backend/compare/tree_comparison.h"
#include "backend/dm/dm_volume.h"
#include "backend/dm/image_files.h"

namespace ckptfs {
namespace {

// For snapshots being read.
constexpr size_t kOpenVolumesMax = 32;

void RequireReadOnly(const VolumeHeader& header, const VolumeId& id) {
  if (header.read_only) return;
  throw Error(EINVAL, "compare two volumes", fmt::format("volume {} is writable", id.str()));
}

}  // namespace

DmBackend::DmBackend(DmHome home, const BackendOptions& options, ImageFiller fill)
    : home_(std::move(home)),
      options_(options),
      device_prefix_(DevicePrefix(home_)),
      templates_(home_.bases.get(), home_.volumes.get(),
                 {.default_size = home_.default_size,
                  .fill = std::move(fill),
                  .sector_bytes = home_.sector_bytes}),
      table_(
          std::make_shared<ActivationTable>([this](const VolumeId& id) { return Activate(id); })) {}

void DmBackend::Start() {
  if (home_.read_only) return;
  templates_.RemoveLoneNotes();
  watch_.emplace(
      [this] {
        Tend();
        return Room();
      },
      [this] { return table_->All(); },
      [this](const SpaceWatch::Volumes& in_use, bool is_full) { reviver_.Look(in_use, is_full); });
}

void DmBackend::Stop() {
  watch_.reset();
  table_->Close();
}

BackendCapabilities DmBackend::capabilities() const noexcept {
  return {.clone_is_constant_time = true,
          .nested_volumes_possible = false,
          .meta_needs_fsync = true,
          .snapshots_tell_paths = false,
          .open_volumes_max = kOpenVolumesMax};
}

// Called by the first user of the volume.
std::unique_ptr<Activation> DmBackend::Activate(const VolumeId& id) const {
  const VolumeHeader header = HeaderOf(id);
  const bool writable = !header.read_only && !home_.read_only;
  UniqueFd file = OpenVolumeFile(home_.volumes.get(), id, writable ? O_RDWR : O_RDONLY);
  const ImageFilesystem& filesystem =
      ImageFilesystem::Named(templates_.Info(header.base).filesystem);
  const auto make_device = [this, id, writable](int fd, const VolumeHeader& now) {
    // A device whose last user is not gone yet keeps its name.
    static std::atomic<uint64_t> counter = 0;
    return MakeDevice({id, fd, now}, templates_.Attach(now.base),
                      fmt::format("{}{}-{}", device_prefix_, id.str(), ++counter), writable);
  };
  Failpoint("volume-activate.before");
  auto activation =
      std::make_unique<Activation>(id, std::move(file), make_device, filesystem,
                                   ActivationOptions{.never_write = home_.read_only,
                                                     .access_times = options_.access_times,
                                                     .discard = discard()});
  Failpoint("volume-activate.after");
  return activation;
}

UniqueFd DmBackend::OpenFile(const VolumeId& id) const {
  return OpenVolumeFile(home_.volumes.get(), id, O_RDONLY);
}

VolumeHeader DmBackend::HeaderOf(const VolumeId& id) const {
  return ReadVolumeHeader(OpenFile(id).get());
}

// Syncs sidecars that were written and renamed, and their directory.
void DmBackend::SyncMeta() const {
  CheckSyscall(fsync(home_.meta.get()), "write out the directory of sidecars");
}

void DmBackend::RequireWritable(const std::string& attempted) const {
  if (home_.read_only) throw Error(EROFS, attempted, "the store is read-only");
}

void DmBackend::CreateEmpty(const VolumeId& id) {
  CreateFrom(id, templates_.Labelled(kDefaultTemplate));
}

void DmBackend::CreateFrom(const VolumeId& id, const TemplateId& base) {
  RequireWritable(fmt::format("make volume {}", id.str()));
  Failpoint("volume-create.before");
  templates_.Verify(base);
  PartialFile file(home_.volumes.get(), VolumeFileName(id));
  VolumeFile volume{id, file.fd(), {.base = base, .marker = NewMarker()}};
  const auto content = MakeContent(volume, templates_.Info(base));
  WriteVolumeHeader(file.fd(), volume.header);
  // If power fails here: a file that is removed at the next start.
  Failpoint("volume-create.after-file");
  SyncMeta();
  file.Keep("volume-create.after-rename");
  if (content) content->Keep();
  Failpoint("volume-create.after");
}

void DmBackend::Copy(const VolumeId& source, const VolumeId& target, bool read_only,
                     const std::string& operation) {
  RequireWritable(fmt::format("copy volume {} as {}", source.str(), target.str()));
  Failpoint(operation + ".before");
  const UniqueFd original = OpenFile(source);
  PartialFile file(home_.volumes.get(), VolumeFileName(target));
  VolumeFile volume{target, file.fd(), {}};
  const auto content =
      CopyContent({source, original.get(), ReadVolumeHeader(original.get())}, volume);
  volume.header.read_only = read_only;
  volume.header.in_use = false;
  WriteVolumeHeader(file.fd(), volume.header);
  // If power fails here: a file that is removed at the next start.
  Failpoint(operation + ".after-copy");
  SyncMeta();
  file.Keep(operation + ".after-rename");
  if (content) content->Keep();
  Failpoint(operation + ".after");
}

void DmBackend::Snapshot(const VolumeId& source, const VolumeId& target) {
  Copy(source, target, /*read_only=*/true, "volume-snapshot");
}

void DmBackend::Clone(const VolumeId& source, const VolumeId& target) {
  Copy(source, target, /*read_only=*/false, "volume-clone");
}

void DmBackend::Seal(const VolumeId& id) {
  if (HeaderOf(id).read_only) return;
  RequireWritable(fmt::format("make volume {} read-only", id.str()));
  table_->Get(id)->Seal();
  SyncMeta();
}

bool DmBackend::Destroy(const VolumeId& id) {
  const std::string attempted = fmt::format("destroy volume {}", id.str());
  RequireWritable(attempted);
  Failpoint("volume-destroy.before");
  const std::string name = VolumeFileName(id);
  struct stat status {};
  if (fstatat(home_.volumes.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return false;
    ThrowErrno(attempted);
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(ENOTDIR, attempted, "the entry of that name is not a volume; it is left alone",
                fmt::format("Look at {}/{}", home_.volumes_name, name));
  }
  TakeAway(id);
  // If power fails before the directory is synced, the whole volume is back.
  Failpoint("volume-destroy.after");
  table_->Drop(id);
  return true;
}

void DmBackend::WaitDurable() {
  CheckSyscall(fsync(home_.volumes.get()), "write out the directory of volumes");
  SyncMeta();
}

std::vector<VolumeListing> DmBackend::List() const {
  std::vector<VolumeListing> volumes;
  for (const std::string& name : ReadDirectory(home_.volumes.get())) {
    std::optional<VolumeId> id = VolumeOfFile(name);
    if (!id) continue;
    try {
      const bool read_only = HeaderOf(*id).read_only;
      volumes.push_back({*std::move(id), read_only});
    } catch (const Error& error) {
      if (error.errno_value() == ENOENT) continue;  // just destroyed
      if (error.errno_value() != EUCLEAN) throw;
      spdlog::error("volume {}: {}", id->str(), error.what());
    }
  }
  return volumes;
}

std::vector<std::string> DmBackend::ListForeign() const {
  std::vector<std::string> foreign;
  for (std::string& name : ReadDirectory(home_.volumes.get())) {
    const bool is_partial = name.ends_with(kPartialSuffix);
    const std::optional<VolumeId> id =
        VolumeOfFile(is_partial ? name.substr(0, name.size() - kPartialSuffix.size()) : name);
    if ((is_partial && id) || VolumeOfDestroyedFile(name)) continue;
    try {
      if (id) {
        HeaderOf(*id);
        continue;
      }
    } catch (const Error& error) {
      if (error.errno_value() == ENOENT) continue;
    }
    foreign.push_back(std::move(name));
  }
  std::sort(foreign.begin(), foreign.end());
  return foreign;
}

std::shared_ptr<Volume> DmBackend::Open(const VolumeId& id) const {
  return std::make_shared<DmVolume>(id, table_->Get(id));
}

void DmBackend::Sync(const VolumeId& id) {
  // An inactive volume has nothing to write out.
  if (const auto activation = table_->Find(id)) activation->Sync();
}

void DmBackend::WriteOut(const VolumeId& id) { Sync(id); }

uint64_t DmBackend::ChangeMarker(const VolumeId& id) const {
  if (const auto activation = table_->Find(id)) return activation->Marker();
  const VolumeHeader header = HeaderOf(id);
  // Activating it replays its journal, and gives it a new marker.
  return header.in_use ? table_->Get(id)->Marker() : header.marker;
}

bool DmBackend::MayBeEqual(const VolumeId& older, const VolumeId& newer, size_t files_max,
                           WorkLimits& limits) const {
  const std::shared_ptr<Activation> older_volume = table_->Get(older);
  const std::shared_ptr<Activation> newer_volume = table_->Get(newer);
  return MayBeEqualByWalking(ImageFiles(older_volume->root_fd(), limits),
                             ImageFiles(newer_volume->root_fd(), limits), files_max);
}

DiffList DmBackend::Changes(const VolumeId& older, const VolumeId& newer, WorkLimits& limits,
                            Extent extent) const {
  RequireReadOnly(HeaderOf(older), older);
  RequireReadOnly(HeaderOf(newer), newer);
  if (older == newer) return DiffList(limits);
  const std::shared_ptr<Activation> older_volume = table_->Get(older);
  const std::shared_ptr<Activation> newer_volume = table_->Get(newer);
  return ChangesByWalking(ImageFiles(older_volume->root_fd(), limits),
                          ImageFiles(newer_volume->root_fd(), limits), extent);
}

SpaceInfo DmBackend::Space() const {
  const DiskSpace room = Room();
  return {.total_bytes = room.total, .used_bytes = room.used, .free_bytes = room.free};
}

std::vector<SpaceLevel> DmBackend::SpaceLevels() const {
  const DiskSpace room = Room();
  return {{.name = RoomName(),
           .total_bytes = room.total,
           .free_bytes = room.free,
           .remedy = kMakeRoom}};
}

std::vector<LeftoverFile> DmBackend::Leftovers() const { return DmLeftovers(home_); }

bool DmBackend::RemoveLeftover(const std::string& name) {
  RequireWritable("remove " + name);
  return RemoveDmLeftover(home_, name);
}

BackendHealth DmBackend::Health() const {
  BackendHealth health;
  for (const std::shared_ptr<Activation>& activation : table_->All()) {
    if (activation->has_stopped()) health.stopped.push_back(activation->id());
  }
  if (watch_ && watch_->is_low()) {
    health.warnings.push_back(fmt::format(
        "{} has {} MiB left, less than workspaces may still want: delete snapshots, or free "
        "space on the disk.",
        RoomName(), Room().free >> 20));
  }
  return health;
}

}  // namespace ckptfs
