#include "backend/dm/pool_disk.h"

#include <endian.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/store_file.h"
#include "backend/dm/thin_mark.h"
#include "backend/mount/program.h"

namespace ckptfs {
namespace {

constexpr size_t kSuperblockBytes = 4096;
constexpr off_t kMagicOffset = 32;  // struct thin_disk_superblock, drivers/md/dm-thin-metadata.c
constexpr uint64_t kThinMagic = 27022010;
// Exit status of blkid(8): nothing found.
constexpr int kNothingFound = 2;

UniqueFd OpenDevice(const std::string& device, int flags) {
  const std::string attempted = "use the device " + device;
  UniqueFd fd = TryOpenBlockDevice(device, flags);
  if (!fd.valid() && errno == EBUSY) {
    throw Error(EBUSY, attempted, "it is mounted, or something else has it",
                "Find out what (lsblk, dmsetup ls --tree), or name another device");
  }
  if (!fd.valid() && errno == ENOTBLK) {
    throw Error(
        ENOTBLK, attempted, "it is no block device",
        "Name a block device, or leave the option out: then the pool is in files of the store");
  }
  CheckSyscall(fd.get(), attempted);
  return fd;
}

// Before a pool writes to the disk, earlier reads of it must be dropped from the cache below: BLKFLSBUF.
bool HasThinMagic(int fd, const std::string& attempted) {
  uint64_t magic = 0;
  CheckSyscall(pread(fd, &magic, sizeof(magic), kMagicOffset), attempted);
  return le64toh(magic) == kThinMagic;
}

bool BeginsWithThinMark(int fd, const std::string& attempted) {
  std::array<char, kThinMarkBeginning.size()> text{};
  CheckSyscall(pread(fd, text.data(), text.size(), 0), attempted);
  return std::string_view(text.data(), text.size()) == kThinMarkBeginning;
}

void WipeBeginning(int fd, const std::string& attempted) {
  const std::string zeros(kSuperblockBytes, '\0');
  CheckSyscall(pwrite(fd, zeros.data(), zeros.size(), 0), attempted);
  CheckSyscall(fsync(fd), attempted);
}

}  // namespace

PoolDisk::PoolDisk(UniqueFd file, const std::string& name, bool read_only) : fd_(std::move(file)) {
  if (const auto other = WaitUntilDetached(fd_.get())) {
    throw Error(EBUSY, "attach the thin pool", "its files are attached as " + *other,
                "A program still has a file open of a mount whose daemon died: find it (dmsetup ls "
                "--tree, lsof) and end it");
  }
  loop_.emplace(fd_.get(), LoopOptions{.read_only = read_only, .name = "ckptfs-pool-" + name});
  path_ = loop_->path();
}

PoolDisk::PoolDisk(const std::string& device, bool read_only)
    : path_(device), fd_(OpenDevice(device, read_only ? O_RDONLY : O_RDWR)) {}

std::string PoolDisk::Number() const {
  if (loop_) return loop_->Number();
  struct stat status {};
  CheckSyscall(fstat(fd_.get(), &status), "look at " + path_);
  return fmt::format("{}:{}", major(status.st_rdev), minor(status.st_rdev));
}

uint64_t PoolDisk::SizeBytes() const {
  if (loop_) return loop_->SizeBytes();
  uint64_t bytes = 0;
  CheckSyscall(ioctl(fd_.get(), BLKGETSIZE64, &bytes), "ask for the size of " + path_);
  return bytes;
}

uint32_t PoolDisk::SectorBytes() const {
  int bytes = 0;
  CheckSyscall(ioctl(loop_ ? loop_->fd() : fd_.get(), BLKSSZGET, &bytes),
               "ask for the sectors of " + path_);
  return static_cast<uint32_t>(bytes);
}

bool PoolDisk::HoldsThinMetadata() const {
  const int fd = loop_ ? loop_->fd() : fd_.get();
  CheckSyscall(ioctl(fd, BLKFLSBUF, 0), "read " + path_);
  return HasThinMagic(fd, "read " + path_);
}

void PoolDisk::GrowFile(uint64_t bytes) {
  if (SizeBytes() >= bytes) return;
  CheckSyscall(ftruncate(fd_.get(), static_cast<off_t>(bytes)), "grow the thin pool");
  CheckSyscall(fsync(fd_.get()), "grow the thin pool");
  loop_->UpdateSize();
}

void TakeBlankDevice(const std::string& device, bool wipe) {
  const UniqueFd fd = OpenDevice(device, O_RDWR | O_EXCL);
  const std::string attempted = "make a thin pool on " + device;
  const auto refuse = [&](const std::string& found) {
    throw Error(EEXIST, attempted, found,
                "Name another device; if nobody needs what is on this one: wipefs -a " + device +
                    " && dd if=/dev/zero bs=4096 count=1 of=" + device);
  };
  CheckSyscall(ioctl(fd.get(), BLKFLSBUF, 0), attempted);
  const ProgramResult found =
      RunProgram({.name = "blkid", .package = "util-linux"}, {"--probe", "--", device});
  if (!found.ExitedWith(kNothingFound)) refuse("something is on it: " + found.Words());
  if (HasThinMagic(fd.get(), attempted)) refuse("the metadata of a thin pool is on it");
  if (BeginsWithThinMark(fd.get(), attempted)) refuse("the data of a thin pool is on it");
  if (wipe) WipeBeginning(fd.get(), attempted);
}

void BlankPoolDevice(const std::string& device) {
  const UniqueFd fd = OpenDevice(device, O_RDWR | O_EXCL);
  const std::string attempted = "clear " + device;
  CheckSyscall(ioctl(fd.get(), BLKFLSBUF, 0), attempted);
  if (HasThinMagic(fd.get(), attempted) || BeginsWithThinMark(fd.get(), attempted)) {
    WipeBeginning(fd.get(), attempted);
  }
}

}  // namespace ckptfs
