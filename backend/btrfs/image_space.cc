#include "backend/btrfs/image_space.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/units.h"
#include "backend/btrfs/block_groups.h"

namespace ckptfs {
namespace {

constexpr uint64_t kBackedAtOnce = uint64_t{4} << 20;
constexpr char kBallast[] = "ballast";
constexpr char kKeepInStep[] = "keep the image from promising more than its disk has";
constexpr std::chrono::milliseconds kCalmInterval{1000};
constexpr std::chrono::milliseconds kTightInterval{100};
// "Little" free space: this many times the floor.
constexpr uint64_t kTightFloors = 4;
// A size of the ballast that ends within a block would make btrfs write that block, perhaps where the disk has no room.
// No filesystem has larger blocks.
constexpr uint64_t kBallastUnit = uint64_t{64} << 10;
// One step of growing, as btrfs may have less than it reports.
constexpr uint64_t kGrowthStepBytes = 64 * kMiB;
// Smaller changes are not made: each costs commits.
constexpr uint64_t kStepLeastBytes = 4 * kMiB;
// Deleted blocks are returned to the disk if they are at least this much, and this long after the last time:
// values for a disk with enough space, and for one without.
constexpr uint64_t kReturnLeastBytes = 64 * kMiB;
constexpr std::chrono::seconds kReturnInterval{10};
constexpr uint64_t kReturnLeastBytesIfShort = 4 * kMiB;
constexpr std::chrono::seconds kReturnIntervalIfShort{1};

UniqueFd OpenBallast(int root_fd) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  return UniqueFd(CheckSyscall(openat(root_fd, kBallast, kFlags, 0600), kKeepInStep));
}

struct stat StatusOfFile(int fd) {
  struct stat status {};
  CheckSyscall(fstat(fd, &status), kKeepInStep);
  return status;
}

}  // namespace

uint64_t BallastLeftBy(int root_fd) {
  struct stat status {};
  if (fstatat(root_fd, kBallast, &status, AT_SYMLINK_NOFOLLOW) != 0) return 0;
  return S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) : 0;
}

ImageSpace::ImageSpace(int root_fd, int image_fd, RightOfWay& way)
    : root_fd_(root_fd), image_fd_(image_fd), way_(way), ballast_(BallastLeftBy(root_fd)) {
  LookAndLog();
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

ImageSpace::~ImageSpace() {
  thread_.request_stop();
  thread_.join();
}

void ImageSpace::Run(const std::stop_token& stop) {
  pthread_setname_np(pthread_self(), "ckptfs-space");
  std::chrono::milliseconds pause = kCalmInterval;
  MutexLock lock(mutex_);
  while (!stop.stop_requested()) {
    changed_.wait_for(lock.native(), stop, pause, [] { return false; });
    if (!stop.stop_requested()) pause = LookAndLog();
  }
}

std::chrono::milliseconds ImageSpace::LookAndLog() noexcept {
  try {
    return Look();
  } catch (const Error& error) {
    // Health reports a filesystem that has turned read-only.
    if (error.errno_value() != EROFS) spdlog::warn("{}", error.what());
  } catch (const std::exception& error) {
    spdlog::warn("{}: {}", kKeepInStep, error.what());
  }
  return kCalmInterval;
}

const DiskFullness& ImageSpace::LookAtDisk() const {
  fullness_.Note(ReadDiskSpace(image_fd_), IsOnReadOnly(root_fd_));
  return fullness_;
}

// Returns the time until the next look.
std::chrono::milliseconds ImageSpace::Look() {
  LookAtDisk();
  GiveBack();
  Limit();
  if (BackMetadata()) Limit();
  const DiskSpace host = ReadDiskSpace(image_fd_);
  const bool is_tight = host.free < kTightFloors * FreeSpaceFloor(host.total);
  return ballast_ > 0 && is_tight ? kTightInterval : kCalmInterval;
}

// The target size of the ballast, in whole units.
uint64_t ImageSpace::Wanted() const {
  const DiskSpace host = ReadDiskSpace(image_fd_);
  if (host.total == 0) return 0;  // an unlimited tmpfs
  const uint64_t room = SubtractOrZero(host.free, FreeSpaceFloor(host.total));
  const uint64_t excess = SubtractOrZero(ReadDiskSpace(root_fd_).free + ballast_, room);
  return (excess + kBallastUnit - 1) / kBallastUnit * kBallastUnit;
}

bool ImageSpace::IsRight(uint64_t wanted) const {
  if (wanted == 0 || ballast_ == 0) return wanted == ballast_;
  return std::max<uint64_t>(wanted, ballast_) - std::min<uint64_t>(wanted, ballast_) <
         kStepLeastBytes;
}

// What programs write before the next look fits into the space left here, and thus onto the disk. Until a
// commit, btrfs counts data just written as free, and data just deleted as used: so a commit is needed before
// and after.
void ImageSpace::Limit() {
  if (IsRight(Wanted())) return;
  Commit();
  uint64_t wanted = Wanted();
  // The commit may have freed deleted blocks. If the ballast covered them, the disk would never get them back.
  if (wanted > ballast_ && HasMoreUnused(kReturnLeastBytesIfShort)) {
    ReturnUnused();
    wanted = Wanted();
  }
  if (IsRight(wanted)) return;
  if (wanted > ballast_) {
    Grow(wanted);
  } else {
    Shrink(wanted);
  }
  Commit();
}

void ImageSpace::Commit() const {
  uint64_t transaction = 0;
  CheckSyscall(ioctl(root_fd_, BTRFS_IOC_START_SYNC, &transaction), kKeepInStep);
  CheckSyscall(ioctl(root_fd_, BTRFS_IOC_WAIT_SYNC, &transaction), kKeepInStep);
}

// With unwritten extents: btrfs counts them, and they take nothing of the disk.
void ImageSpace::Grow(uint64_t wanted) {
  if (!file_.valid()) file_ = OpenBallast(root_fd_);
  ballast_ = static_cast<uint64_t>(StatusOfFile(file_.get()).st_size);
  if (ballast_ % kBallastUnit != 0) Shrink(ballast_ / kBallastUnit * kBallastUnit);
  uint64_t step = kGrowthStepBytes;
  while (ballast_ < wanted) {
    const uint64_t piece = std::min(step, wanted - ballast_);
    const int result =
        fallocate(file_.get(), 0, static_cast<off_t>(ballast_.load()), static_cast<off_t>(piece));
    if (result != 0 && errno == ENOSPC) {
      // What is left may be less than a step, and must not be promised either.
      step = piece / 2 / kBallastUnit * kBallastUnit;
      if (step < kStepLeastBytes) return;
      continue;
    }
    CheckSyscall(result, kKeepInStep);
    ballast_ += piece;
  }
}

void ImageSpace::Shrink(uint64_t wanted) {
  if (!file_.valid()) file_ = OpenBallast(root_fd_);
  CheckSyscall(ftruncate(file_.get(), static_cast<off_t>(wanted)), kKeepInStep);
  ballast_ = wanted;
}

bool ImageSpace::IsBackingWorthwhile() const {
  if (ballast_ > 0) return true;
  struct statfs host {};
  CheckSyscall(fstatfs(image_fd_, &host), kKeepInStep);
  return host.f_type != TMPFS_MAGIC && host.f_type != RAMFS_MAGIC;
}

// Returns whether it has allocated anything.
bool ImageSpace::BackMetadata() {
  if (!IsBackingWorthwhile()) return false;
  std::set<Place> wanted;
  for (const BlockGroup& group : ReadBlockGroups(root_fd_)) {
    if (group.has_data) continue;
    for (const uint64_t place : group.places) wanted.emplace(place, group.length);
  }
  // A block group that has gone may have been returned to the disk.
  std::erase_if(backed_, [&wanted](const Place& place) { return !wanted.contains(place); });
  bool has_allocated = false;
  for (const Place& place : wanted) {
    if (backed_.contains(place)) continue;
    has_allocated = true;
    if (!BackPlace(place.first, place.second)) break;
    backed_.insert(place);
  }
  return has_allocated;
}

// Returns false if the disk is full. Allocates piece by piece: a disk that cannot provide everything would
// otherwise be filled completely, and a deletion needs the last blocks for the catalog.
bool ImageSpace::BackPlace(uint64_t place, uint64_t length) const {
  const uint64_t end = place + length;
  for (uint64_t at = place; at < end; at += kBackedAtOnce) {
    const uint64_t piece = std::min<uint64_t>(kBackedAtOnce, end - at);
    const DiskSpace host = ReadDiskSpace(image_fd_);
    if (host.free < FreeSpaceFloor(host.total) + piece) return false;
    const int result = fallocate(image_fd_, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                                 static_cast<off_t>(piece));
    if (result != 0 && (errno == ENOSPC || errno == EOPNOTSUPP)) return false;
    CheckSyscall(result, kKeepInStep);
  }
  return true;
}

void ImageSpace::GiveBack() {
  if (Clock::now() < next_return_) return;
  const bool is_short = ballast_ > 0;
  if (!HasMoreUnused(is_short ? kReturnLeastBytesIfShort : kReturnLeastBytes)) return;
  next_return_ = Clock::now() + (is_short ? kReturnIntervalIfShort : kReturnInterval);
  ReturnUnused();
}

// Than after the last return.
bool ImageSpace::HasMoreUnused(uint64_t bytes) const { return UnusedInImage() >= kept_ + bytes; }

void ImageSpace::ReturnUnused() {
  // FITRIM also returns space that belongs to no block group: of groups that have gone since they were backed, and
  // perhaps made anew at the same place.
  backed_.clear();
  for (const BlockGroup& group : ReadBlockGroups(root_fd_)) {
    if (group.has_data && !GiveBackUnusedOf(group)) break;
  }
  kept_ = UnusedInImage();
}

void ImageSpace::Follow() noexcept {
  const MutexLock lock(mutex_);
  LookAndLog();
}

uint64_t ImageSpace::ReturnNow() {
  const MutexLock lock(mutex_);
  const uint64_t before = AllocatedBytes(StatusOfFile(image_fd_));
  ReturnUnused();
  return SubtractOrZero(before, AllocatedBytes(StatusOfFile(image_fd_)));
}

// Returns false if the underlying disk cannot take blocks back. A whole block group at a time: of a part that begins
// within a free extent, the kernel (6.18) returns nothing of that extent.
bool ImageSpace::GiveBackUnusedOf(const BlockGroup& group) {
  way_.GiveWay(RightOfWay::kHeldMax);
  fstrim_range range{.start = group.logical, .len = group.length, .minlen = 0};
  if (ioctl(root_fd_, FITRIM, &range) == 0) return true;
  if (errno != EOPNOTSUPP) ThrowErrno(kKeepInStep);
  return false;
}

// Blocks that the image holds on its disk and its filesystem does not use.
uint64_t ImageSpace::UnusedInImage() const {
  const uint64_t used = SubtractOrZero(ReadDiskSpace(root_fd_).used, ballast_);
  return SubtractOrZero(AllocatedBytes(StatusOfFile(image_fd_)), used);
}

}  // namespace ckptfs
