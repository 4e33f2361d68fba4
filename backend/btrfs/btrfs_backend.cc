#include "backend/btrfs/btrfs_backend.h"

#include <btrfsutil.h>
#include <endian.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <unordered_set>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/btrfs/btrfs_util.h"
#include "backend/btrfs/btrfs_volume.h"
#include "backend/btrfs/changes.h"
#include "backend/btrfs/quick_look.h"
#include "backend/btrfs/space.h"
#include "backend/btrfs/tree_search.h"
#include "backend/btrfs/usage.h"
#include "backend/interface/await_reclaimed.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {
namespace {

// How long the return of blocks to the disk waits for the space of destroyed ones.
constexpr auto kReclaimWait = std::chrono::seconds(5);
constexpr auto kReclaimPauseMax = std::chrono::milliseconds(50);

// Below this fraction of free space, queries of the space include what pending removals will free.
constexpr uint64_t kNearlyFullDivisor = 16;
// The minimum interval of commits for that.
constexpr auto kCommitInterval = std::chrono::milliseconds(100);

constexpr mode_t kRootMode = 0755;
constexpr char kMakeRoom[] = "Delete snapshots; 'ckpt status' says which disk is short";

std::string HintFor(btrfs_util_error result) {
  if (result == BTRFS_UTIL_OK) return {};
  if (errno == ENOSPC || errno == EDQUOT) return kMakeRoom;
  if (errno == ETXTBSY) return "A swap file in the workspace is in use: swapoff it first";
  return {};
}

bool IsSubvolumeRoot(int fd) { return btrfs_util_is_subvolume_fd(fd) == BTRFS_UTIL_OK; }

}  // namespace

BtrfsBackend::BtrfsBackend(BtrfsHome home)
    : home_(std::move(home)),
      is_read_only_(IsOnReadOnly(home_.root.get())),
      damage_before_(CountDamage(home_.root.get())),
      write_errors_before_(CountWriteErrors(home_.root.get())) {
  if (!is_read_only_) lost_writes_.emplace(home_.root.get());
  if (home_.image.valid() && !is_read_only_)
    image_space_.emplace(home_.root.get(), home_.image.get(), right_of_way());
}

BackendCapabilities BtrfsBackend::capabilities() const noexcept {
  return {.clone_is_constant_time = true, .nested_volumes_possible = true};
}

UniqueFd BtrfsBackend::OpenRoot(const VolumeId& id, const std::string& attempted) const {
  UniqueFd fd(
      openat(home_.volumes.get(), id.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid() && errno != ENOENT && errno != ENOTDIR && errno != ELOOP) ThrowErrno(attempted);
  if (!fd.valid() && errno == ENOENT) {
    throw Error(ENOENT, attempted, fmt::format("there is no volume {}", id.str()));
  }
  if (!fd.valid() || !IsSubvolumeRoot(fd.get())) {
    throw Error(ENOENT, attempted,
                fmt::format("there is no volume {}, but something else of that name", id.str()),
                fmt::format("Move volumes/{} away", id.str()));
  }
  return fd;
}

void BtrfsBackend::CreateEmpty(const VolumeId& id) {
  const std::string attempted = fmt::format("make volume {}", id.str());
  Failpoint("volume-create.before");
  const auto result =
      btrfs_util_create_subvolume_fd(home_.volumes.get(), id.c_str(), 0, nullptr, nullptr);
  CheckBtrfsUtil(result, attempted, HintFor(result));
  // If power fails here: no volume, or an empty one without a row in the catalog.
  Failpoint("volume-create.after-ioctl");
  const UniqueFd root = OpenRoot(id, attempted);
  // The kernel applies the umask. There is no parent with a default ACL or set-group-id bit; the owner is the
  // caller.
  CheckSyscall(fchown(root.get(), 0, 0), attempted);
  CheckSyscall(fchmod(root.get(), kRootMode), attempted);
  WaitDurable();
  Failpoint("volume-create.after");
}

void BtrfsBackend::MakeSnapshot(const VolumeId& source, const VolumeId& target, int flags,
                                const std::string& attempted) {
  const UniqueFd root = OpenRoot(source, attempted);
  // The ioctl writes out the source's data, adds the snapshot to the running transaction and commits that: at
  // any moment, there is no snapshot or a whole one. The commit includes all sidecars that were passed to
  // WriteOutData before.
  const auto result = btrfs_util_create_snapshot_fd2(root.get(), home_.volumes.get(),
                                                     target.c_str(), flags, nullptr, nullptr);
  CheckBtrfsUtil(result, attempted, HintFor(result));
}

void BtrfsBackend::Snapshot(const VolumeId& source, const VolumeId& target) {
  Failpoint("volume-snapshot.before");
  MakeSnapshot(source, target, BTRFS_UTIL_CREATE_SNAPSHOT_READ_ONLY,
               fmt::format("snapshot volume {} as {}", source.str(), target.str()));
  Failpoint("volume-snapshot.after");
}

void BtrfsBackend::Clone(const VolumeId& source, const VolumeId& target) {
  Failpoint("volume-clone.before");
  MakeSnapshot(source, target, 0, fmt::format("clone volume {} as {}", source.str(), target.str()));
  Failpoint("volume-clone.after");
}

void BtrfsBackend::Seal(const VolumeId& id) {
  const std::string attempted = fmt::format("make volume {} read-only", id.str());
  const UniqueFd root = OpenRoot(id, attempted);
  bool read_only = false;
  CheckBtrfsUtil(btrfs_util_get_subvolume_read_only_fd(root.get(), &read_only), attempted);
  if (read_only) return;
  // The commit of the flag does not include data, so that is written first. If power fails in between, the
  // volume is still writable, with all its data.
  WriteOutVolume(root.get(), id, attempted);
  Failpoint("volume-seal.before-flag");
  const auto result = btrfs_util_set_subvolume_read_only_fd(root.get(), true);
  CheckBtrfsUtil(result, attempted, HintFor(result));
  Failpoint("volume-seal.after-flag");
}

bool BtrfsBackend::Destroy(const VolumeId& id) {
  const std::string attempted = fmt::format("destroy volume {}", id.str());
  {
    const UniqueFd entry(openat(home_.volumes.get(), id.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!entry.valid() && errno == ENOENT) return false;
    CheckSyscall(entry.get(), attempted);
    if (!IsSubvolumeRoot(entry.get())) {
      throw Error(ENOTDIR, attempted, "the entry of that name is not a volume; it is left alone",
                  fmt::format("Look at volumes/{}", id.str()));
    }
  }
  Failpoint("volume-destroy.before");
  const auto result = btrfs_util_delete_subvolume_fd(home_.volumes.get(), id.c_str(), 0);
  if (result != BTRFS_UTIL_OK && errno == ENOTEMPTY) {
    throw Error(ENOTEMPTY, attempted, "there are subvolumes in it that were not made by ckptfs",
                "Delete those first (btrfs subvolume delete)");
  }
  CheckBtrfsUtil(result, attempted);
  // If power fails before the next commit, the whole volume is back.
  Failpoint("volume-destroy.after");
  return true;
}

void BtrfsBackend::WaitDurable() {
  // Not with btrfs_util_start_sync and btrfs_util_wait_sync: they write out no data, and let the kernel's
  // transaction thread commit. On a busy machine its wakeup can be missed; the caller then waits for the next
  // periodic commit, after 30 s.
  CheckBtrfsUtil(btrfs_util_sync_fd(home_.volumes.get()), "commit the changes of volumes");
}

void BtrfsBackend::WaitDestroyed() {
  // For a directory that has lost a subvolume this commits the transaction (btrfs_record_snapshot_destroy in
  // the kernel's fs/btrfs/tree-log.c), and no more; if it has been committed already, it does nothing. A sync
  // of the filesystem would first write out all data of all volumes.
  CheckSyscall(fsync(home_.volumes.get()), "commit the removal of volumes");
}

size_t BtrfsBackend::PendingDestroys() const {
  uint64_t* ids = nullptr;
  size_t count = 0;
  CheckBtrfsUtil(btrfs_util_deleted_subvolumes_fd(home_.volumes.get(), &ids, &count),
                 "ask for destroyed volumes");
  const std::unique_ptr<uint64_t, decltype(&std::free)> owner(ids, &std::free);
  return count;
}

// Destroyed volumes free their space when the kernel's cleaner has dismantled them and that is committed. Of all ways to
// commit, only this ioctl also wakes the cleaner.
void BtrfsBackend::Reclaim() const {
  CheckBtrfsUtil(btrfs_util_sync_fd(home_.volumes.get()), "commit the changes of volumes");
}

// Reads the tree of tree roots in one pass: opening 10^5 volumes to query each one's flags would take
// seconds, and load each one's tree into memory.
std::vector<VolumeListing> BtrfsBackend::List() const {
  struct stat directory {};
  CheckSyscall(fstat(home_.volumes.get(), &directory), "list the volumes");
  const uint64_t parent = SubvolumeId(home_.volumes.get());

  std::vector<VolumeListing> volumes;
  uint64_t flags_of = 0;  // the subvolume whose flags were read last
  uint64_t flags = 0;
  const TreeRange range{.tree_id = BTRFS_ROOT_TREE_OBJECTID,
                        .min_objectid = BTRFS_FIRST_FREE_OBJECTID,
                        .max_objectid = BTRFS_LAST_FREE_OBJECTID,
                        .min_type = BTRFS_ROOT_ITEM_KEY,
                        .max_type = BTRFS_ROOT_BACKREF_KEY};
  SearchTree(home_.volumes.get(), range, [&](const TreeItem& item) {
    if (item.type == BTRFS_ROOT_ITEM_KEY) {
      constexpr size_t kFlagsAt = offsetof(btrfs_root_item, flags);
      if (item.data.size() < kFlagsAt + sizeof(flags)) return;
      std::memcpy(&flags, item.data.data() + kFlagsAt, sizeof(flags));
      flags = le64toh(flags);
      flags_of = item.objectid;
    } else if (item.type == BTRFS_ROOT_BACKREF_KEY && item.offset == parent) {
      btrfs_root_ref reference{};
      if (item.data.size() < sizeof(reference) || flags_of != item.objectid) return;
      std::memcpy(&reference, item.data.data(), sizeof(reference));
      const size_t length = le16toh(reference.name_len);
      if (le64toh(reference.dirid) != directory.st_ino ||
          item.data.size() < sizeof(reference) + length) {
        return;
      }
      const auto* name = reinterpret_cast<const char*>(item.data.data() + sizeof(reference));
      if (auto id = VolumeId::Parse({name, length})) {
        volumes.push_back({std::move(*id), (flags & BTRFS_ROOT_SUBVOL_RDONLY) != 0});
      }
    }
  });
  return volumes;
}

std::vector<std::string> BtrfsBackend::ListForeign() const {
  std::unordered_set<std::string> volumes;
  for (const VolumeListing& volume : List()) volumes.insert(volume.id.str());
  std::vector<std::string> foreign;
  for (std::string& name : ReadDirectory(home_.volumes.get())) {
    if (volumes.contains(name)) continue;
    // Created after the list was read, but a volume all the same.
    const UniqueFd entry(
        openat(home_.volumes.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!entry.valid() || (VolumeId::Parse(name) && IsSubvolumeRoot(entry.get()))) continue;
    foreign.push_back(std::move(name));
  }
  std::sort(foreign.begin(), foreign.end());
  return foreign;
}

std::shared_ptr<Volume> BtrfsBackend::Open(const VolumeId& id) const {
  return std::make_shared<BtrfsVolume>(id, OpenRoot(id, fmt::format("open volume {}", id.str())));
}

void BtrfsBackend::Sync(const VolumeId& id) {
  // With the data of all volumes: only this tells whether some could not be written.
  const std::string attempted = fmt::format("sync volume {}", id.str());
  if (syncfs(OpenRoot(id, attempted).get()) == 0) return;
  const int error = errno;
  if (lost_writes_ && (error == EIO || error == ENOSPC)) lost_writes_->Note();
  throw Error(error, attempted);
}

// btrfs can write out a single subvolume only as the first step of a snapshot. If the name of the target is taken
// it does no more than that, in particular no commit (btrfs_mksnapshot in the kernel's fs/btrfs/ioctl.c). The
// volume's own name is taken.
void BtrfsBackend::WriteOutVolume(int root_fd, const VolumeId& id,
                                  const std::string& attempted) const {
  const auto result =
      btrfs_util_create_snapshot_fd2(root_fd, home_.volumes.get(), id.c_str(),
                                     BTRFS_UTIL_CREATE_SNAPSHOT_READ_ONLY, nullptr, nullptr);
  if (errno != EEXIST) CheckBtrfsUtil(result, attempted, HintFor(result));
}

// The marker is the kernel's own in memory, which every change of an inode advances: of data, when it has been
// written.
void BtrfsBackend::SettleChanges(const VolumeId& id) {
  const std::string attempted = fmt::format("look for changes in volume {}", id.str());
  WriteOutVolume(OpenRoot(id, attempted).get(), id, attempted);
}

void BtrfsBackend::WriteOut(const VolumeId& id) {
  // With a writer as fast as the disk, more rounds gain nothing.
  constexpr int kRoundsMax = 3;
  // If a round took no longer, no more than that is left for the snapshot.
  constexpr std::chrono::milliseconds kLittle{4};
  const std::string attempted = fmt::format("write out volume {}", id.str());
  const UniqueFd root = OpenRoot(id, attempted);
  for (int round = 0; round < kRoundsMax; ++round) {
    const auto start = std::chrono::steady_clock::now();
    WriteOutVolume(root.get(), id, attempted);
    if (std::chrono::steady_clock::now() - start < kLittle) return;
  }
}

uint64_t BtrfsBackend::ChangeMarker(const VolumeId& id) const {
  const UniqueFd root = OpenRoot(id, fmt::format("look for changes in volume {}", id.str()));
  return LastChangeTransaction(root.get());
}

VolumeUsage BtrfsBackend::Usage(const VolumeId& id) const { return MeasureUsage(*Open(id)); }

DiffList BtrfsBackend::Changes(const VolumeId& older, const VolumeId& newer, WorkLimits& limits,
                               Extent extent) const {
  const std::string attempted = fmt::format("compare volume {} with {}", older.str(), newer.str());
  const UniqueFd older_root = OpenRoot(older, attempted);
  const UniqueFd newer_root = OpenRoot(newer, attempted);
  return CompareSubvolumes(older_root.get(), newer_root.get(), path_bounds_, limits, extent);
}

bool BtrfsBackend::MayBeEqual(const VolumeId& older, const VolumeId& newer, size_t files_max,
                              WorkLimits& limits) const {
  const std::string attempted = fmt::format("look at volumes {} and {}", older.str(), newer.str());
  const UniqueFd older_root = OpenRoot(older, attempted);
  const UniqueFd newer_root = OpenRoot(newer, attempted);
  return SubvolumesMayBeEqual(older_root.get(), newer_root.get(), files_max, limits);
}

bool BtrfsBackend::CommitRemovals() const {
  const auto now = std::chrono::steady_clock::now();
  auto due = next_commit_.load();
  if (now < due || !next_commit_.compare_exchange_strong(due, now + kCommitInterval)) return false;
  // Commits only removals; syncfs(2) would also write out data. Neither does anything if nothing has changed
  // since the last commit.
  uint64_t transaction = 0;
  return ioctl(home_.volumes.get(), BTRFS_IOC_START_SYNC, &transaction) == 0 &&
         ioctl(home_.volumes.get(), BTRFS_IOC_WAIT_SYNC, &transaction) == 0;
}

uint64_t BtrfsBackend::ReturnFreedBlocks() {
  if (!image_space_) return 0;
  // The first commit wakes the kernel's cleaner; what that frees is free with the commit after it.
  Reclaim();
  AwaitReclaimed(*this, kReclaimWait, kReclaimPauseMax);
  return image_space_->ReturnNow();
}

void BtrfsBackend::FollowDisk() {
  if (image_space_) image_space_->Follow();
}

uint64_t BtrfsBackend::Ballast() const {
  if (image_space_) return image_space_->ballast();
  return home_.image.valid() ? BallastLeftBy(home_.root.get()) : 0;
}

// btrfs counts deleted data as used until its transaction is committed, which by itself takes up to half a
// minute. But the space matters most when there is none left.
SpaceInfo BtrfsBackend::Space() const {
  const SpaceInfo space = ReadSpace(home_.volumes.get(), home_.image.get(), Ballast());
  if (space.free_bytes >= space.total_bytes / kNearlyFullDivisor || !CommitRemovals()) return space;
  return ReadSpace(home_.volumes.get(), home_.image.get(), Ballast());
}

std::vector<SpaceLevel> BtrfsBackend::SpaceLevels() const {
  return ReadSpaceLevels(home_.volumes.get(), home_.image.get(), Ballast());
}

}  // namespace ckptfs
