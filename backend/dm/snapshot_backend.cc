#include "backend/dm/snapshot_backend.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
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
#include "backend/base/sparse_copy.h"
#include "backend/compare/comparison.h"
#include "backend/disk_space.h"
#include "backend/dm/cow_exceptions.h"
#include "backend/dm/cow_file.h"
#include "backend/dm/dm_volume.h"
#include "backend/dm/file_usage.h"
#include "backend/dm/image_files.h"

namespace ckptfs {
namespace {

// Of snapshots that are looked into.
constexpr size_t kOpenVolumesMax = 32;
constexpr char kMakeRoom[] =
    "Delete snapshots (ckpt delete, ckpt cleanup), or free space on the disk";

void RequireReadOnly(const VolumeHeader& header, const VolumeId& id) {
  if (header.read_only) return;
  throw Error(EINVAL, "compare two volumes", fmt::format("volume {} is writable", id.str()));
}

// Whether FICLONE works in that directory.
bool CanShareBlocks(int directory_fd) {
  const UniqueFd from(openat(directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  const UniqueFd to(openat(directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  const std::string block(4096, 'x');
  return from.valid() && to.valid() &&
         write(from.get(), block.data(), block.size()) == static_cast<ssize_t>(block.size()) &&
         ioctl(to.get(), FICLONE, from.get()) == 0;
}

}  // namespace

SnapshotBackend::SnapshotBackend(SnapshotHome home, const BackendOptions& options)
    : home_(std::move(home)),
      options_(options),
      device_prefix_(DevicePrefix(home_)),
      shares_blocks_(CanShareBlocks(home_.cow.get())),
      templates_(home_.bases.get(), home_.cow.get(), home_.default_size),
      table_(
          std::make_shared<ActivationTable>([this](const VolumeId& id) { return Activate(id); })) {
  if (home_.read_only) return;
  templates_.RemoveLoneNotes();
  watch_.emplace(home_.cow.get(), [this] { return table_->All(); });
}

SnapshotBackend::~SnapshotBackend() {
  watch_.reset();
  table_->Close();
}

BackendCapabilities SnapshotBackend::capabilities() const noexcept {
  return {.clone_is_constant_time = shares_blocks_,
          .nested_volumes_possible = false,
          .meta_needs_fsync = true,
          .snapshots_tell_paths = false,
          .open_volumes_max = kOpenVolumesMax};
}

// By whoever is the first to use it.
std::unique_ptr<Activation> SnapshotBackend::Activate(const VolumeId& id) const {
  // A device whose last user is not gone yet keeps its name.
  static std::atomic<uint64_t> counter = 0;
  const VolumeHeader header = HeaderOf(id);
  const bool writable = !header.read_only && !home_.read_only;
  UniqueFd file = OpenVolumeFile(home_.cow.get(), id, writable ? O_RDWR : O_RDONLY);
  const ImageFilesystem& filesystem =
      ImageFilesystem::Named(templates_.Info(header.base).filesystem);
  const std::string name = fmt::format("{}{}-{}", device_prefix_, id.str(), ++counter);
  Failpoint("volume-activate.before");
  // Whatever can be said against a CoW file that is attached elsewhere is said when it is attached here.
  if (writable && !WaitUntilDetached(file.get()) && RevalidateCow(file.get(), kVolumeHeaderBytes)) {
    spdlog::warn("volume {}: the kernel had given it up, for want of space most likely; used again",
                 id.str());
  }
  auto activation = std::make_unique<Activation>(
      id, templates_.Attach(header.base), std::move(file), filesystem,
      ActivationOptions{
          .device_name = name, .never_write = home_.read_only, .no_atime = options_.no_atime});
  Failpoint("volume-activate.after");
  return activation;
}

VolumeHeader SnapshotBackend::HeaderOf(const VolumeId& id) const {
  return ReadVolumeHeader(OpenVolumeFile(home_.cow.get(), id, O_RDONLY).get());
}

// What was written to sidecars and renamed there, and its directory.
void SnapshotBackend::SyncMeta() const {
  CheckSyscall(fsync(home_.meta.get()), "write out the directory of sidecars");
}

void SnapshotBackend::RequireWritable(const std::string& attempted) const {
  if (home_.read_only) throw Error(EROFS, attempted, "the store is read-only");
}

void SnapshotBackend::CreateEmpty(const VolumeId& id) {
  CreateFrom(id, templates_.Labelled(kDefaultTemplate));
}

void SnapshotBackend::CreateFrom(const VolumeId& id, const TemplateId& base) {
  RequireWritable(fmt::format("make volume {}", id.str()));
  Failpoint("volume-create.before");
  templates_.Verify(base);
  PartialFile file(home_.cow.get(), VolumeFileName(id));
  const uint64_t bytes = kVolumeHeaderBytes + CowFileBytes(templates_.Info(base).size_bytes);
  CheckSyscall(ftruncate(file.fd(), static_cast<off_t>(bytes)), "make a volume");
  WriteVolumeHeader(file.fd(), {.base = base, .marker = NewMarker()});
  // If power goes here: a file that is removed at the next start.
  Failpoint("volume-create.after-file");
  SyncMeta();
  file.Keep("volume-create.after-rename");
  Failpoint("volume-create.after");
}

void SnapshotBackend::RequireSpaceForCopy(int file_fd, const std::string& attempted) const {
  if (shares_blocks_) return;
  const DiskSpace disk = ReadDiskSpace(home_.cow.get());
  struct stat status {};
  CheckSyscall(fstat(file_fd, &status), attempted);
  const uint64_t needed = AllocatedBytes(status) + FreeSpaceFloor(disk.total);
  if (disk.total == 0 || disk.free >= needed) return;
  throw Error(ENOSPC, attempted,
              fmt::format("it takes {} MiB, with what is kept free, and {} MiB are left",
                          needed >> 20, disk.free >> 20),
              kMakeRoom);
}

void SnapshotBackend::Copy(const VolumeId& source, const VolumeId& target, bool read_only,
                           const std::string& operation) {
  const std::string attempted = fmt::format("copy volume {} as {}", source.str(), target.str());
  RequireWritable(attempted);
  Failpoint(operation + ".before");
  const UniqueFd original = OpenVolumeFile(home_.cow.get(), source, O_RDONLY);
  VolumeHeader header = ReadVolumeHeader(original.get());
  RequireSpaceForCopy(original.get(), attempted);
  PartialFile file(home_.cow.get(), VolumeFileName(target));
  // One that is read-only is as it is, whether somebody looks at it or not.
  if (header.read_only) {
    CopySparse(original.get(), file.fd());
  } else {
    header = table_->Get(source)->CopyTo(file.fd());
  }
  header.read_only = read_only;
  header.in_use = false;
  WriteVolumeHeader(file.fd(), header);
  // If power goes here: a file that is removed at the next start.
  Failpoint(operation + ".after-copy");
  SyncMeta();
  file.Keep(operation + ".after-rename");
  Failpoint(operation + ".after");
}

void SnapshotBackend::Snapshot(const VolumeId& source, const VolumeId& target) {
  Copy(source, target, /*read_only=*/true, "volume-snapshot");
}

void SnapshotBackend::Clone(const VolumeId& source, const VolumeId& target) {
  Copy(source, target, /*read_only=*/false, "volume-clone");
}

void SnapshotBackend::Seal(const VolumeId& id) {
  if (HeaderOf(id).read_only) return;
  RequireWritable(fmt::format("make volume {} read-only", id.str()));
  table_->Get(id)->Seal();
  SyncMeta();
}

bool SnapshotBackend::Destroy(const VolumeId& id) {
  const std::string attempted = fmt::format("destroy volume {}", id.str());
  RequireWritable(attempted);
  Failpoint("volume-destroy.before");
  const std::string name = VolumeFileName(id);
  struct stat status {};
  if (fstatat(home_.cow.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return false;
    ThrowErrno(attempted);
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(ENOTDIR, attempted, "what has its name is no volume, and is left alone",
                fmt::format("Look at cow/{}", name));
  }
  CheckSyscall(unlinkat(home_.cow.get(), name.c_str(), 0), attempted);
  // If power goes before the directory is synced, the whole volume is there again.
  Failpoint("volume-destroy.after");
  table_->Drop(id);
  return true;
}

void SnapshotBackend::WaitDurable() {
  CheckSyscall(fsync(home_.cow.get()), "write out the directory of volumes");
  SyncMeta();
}

std::vector<VolumeListing> SnapshotBackend::List() const {
  std::vector<VolumeListing> volumes;
  for (const std::string& name : ReadDirectory(home_.cow.get())) {
    std::optional<VolumeId> id = VolumeOfFile(name);
    if (!id) continue;
    try {
      const bool read_only = HeaderOf(*id).read_only;
      volumes.push_back({*std::move(id), read_only});
    } catch (const Error& error) {
      if (error.errno_value() == ENOENT) continue;  // destroyed just now
      if (error.errno_value() != EUCLEAN) throw;
      spdlog::error("volume {}: {}", id->str(), error.what());
    }
  }
  return volumes;
}

std::vector<std::string> SnapshotBackend::ListForeign() const {
  std::vector<std::string> foreign;
  for (std::string& name : ReadDirectory(home_.cow.get())) {
    if (name.ends_with(kPartialSuffix)) continue;
    const std::optional<VolumeId> id = VolumeOfFile(name);
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

std::shared_ptr<Volume> SnapshotBackend::Open(const VolumeId& id) const {
  return std::make_shared<DmVolume>(id, table_->Get(id));
}

void SnapshotBackend::Sync(const VolumeId& id) {
  // One that is not in use has nothing to write out.
  if (const auto activation = table_->Find(id)) activation->Sync();
}

void SnapshotBackend::WriteOut(const VolumeId& id) { Sync(id); }

uint64_t SnapshotBackend::ChangeMarker(const VolumeId& id) const {
  if (const auto activation = table_->Find(id)) return activation->Marker();
  const VolumeHeader header = HeaderOf(id);
  // Using it finds out what is in its journal, and gives it a new one.
  return header.in_use ? table_->Get(id)->Marker() : header.marker;
}

VolumeUsage SnapshotBackend::Usage(const VolumeId& id) const {
  const UniqueFd file = OpenVolumeFile(home_.cow.get(), id, O_RDONLY);
  const uint64_t base = templates_.DiskBytes(ReadVolumeHeader(file.get()).base);
  const FileUsage usage = MeasureFile(file.get());
  return {.referenced_bytes = base + usage.total_bytes, .exclusive_bytes = usage.exclusive_bytes};
}

std::vector<Change> SnapshotBackend::Changes(const VolumeId& older, const VolumeId& newer) const {
  RequireReadOnly(HeaderOf(older), older);
  RequireReadOnly(HeaderOf(newer), newer);
  if (older == newer) return {};
  const std::shared_ptr<Activation> older_volume = table_->Get(older);
  const std::shared_ptr<Activation> newer_volume = table_->Get(newer);
  return ChangesByWalking(ImageFiles(older_volume->root_fd()), ImageFiles(newer_volume->root_fd()));
}

SpaceInfo SnapshotBackend::Space() const {
  const DiskSpace disk = ReadDiskSpace(home_.cow.get());
  return {.total_bytes = disk.total, .used_bytes = disk.used, .free_bytes = disk.free};
}

void SnapshotBackend::RequireSpaceForNewVolume() const {
  std::optional<DiskSpace> disk;
  try {
    disk = ReadDiskSpace(home_.cow.get());
  } catch (const Error& error) {
    spdlog::warn("cannot tell how much space is left, going on: {}", error.what());
  }
  const uint64_t floor = disk ? FreeSpaceFloor(disk->total) : 0;
  if (!disk || disk->total == 0 || disk->free >= floor) return;
  throw Error(ENOSPC, "make room for a new volume",
              DescribeShortage("the disk of the store", disk->free, floor), kMakeRoom);
}

}  // namespace ckptfs
