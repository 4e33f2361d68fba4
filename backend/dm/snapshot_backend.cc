#include "backend/dm/snapshot_backend.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/sparse_copy.h"
#include "backend/dm/cow_exceptions.h"
#include "backend/dm/cow_file.h"
#include "backend/dm/file_usage.h"
#include "backend/dm/snapshot_device.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {
namespace {

// Whether FICLONE works in that directory.
bool CanShareBlocks(int directory_fd) {
  const UniqueFd from(openat(directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  const UniqueFd to(openat(directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  const std::string block(4096, 'x');
  return from.valid() && to.valid() &&
         write(from.get(), block.data(), block.size()) == static_cast<ssize_t>(block.size()) &&
         ioctl(to.get(), FICLONE, from.get()) == 0;
}

// An ImageFiller.
void FillFromCow(int volume_fd, const VolumeHeader& /*header*/, int image_fd) {
  std::string content(kCowChunkBytes, '\0');
  ForEachCowException(volume_fd, kVolumeHeaderBytes, [&](const CowException& exception) {
    const auto offset =
        static_cast<off_t>(kVolumeHeaderBytes + exception.cow_chunk * kCowChunkBytes);
    const ssize_t got = CheckSyscall(pread(volume_fd, content.data(), content.size(), offset),
                                     "read a volume to flatten it");
    if (static_cast<size_t>(got) != content.size()) {
      throw Error(EUCLEAN, "read a volume to flatten it", "its file is cut short");
    }
    WriteImagePiece(image_fd, exception.base_chunk * kCowChunkBytes, content);
  });
}

}  // namespace

SnapshotBackend::SnapshotBackend(DmHome home, const BackendOptions& options)
    : DmBackend(std::move(home), options, FillFromCow),
      shares_blocks_(CanShareBlocks(this->home().volumes.get())) {
  Start();
}

SnapshotBackend::~SnapshotBackend() { Stop(); }

BackendCapabilities SnapshotBackend::capabilities() const noexcept {
  BackendCapabilities capabilities = DmBackend::capabilities();
  capabilities.clone_is_constant_time = shares_blocks_;
  return capabilities;
}

std::unique_ptr<VolumeDevice> SnapshotBackend::MakeDevice(const VolumeFile& volume,
                                                          std::shared_ptr<const LoopDevice> base,
                                                          const std::string& name,
                                                          bool writable) const {
  // If the CoW file is already attached elsewhere, attaching it here reports that.
  if (writable && !WaitUntilDetached(volume.fd) && RevalidateCow(volume.fd, kVolumeHeaderBytes)) {
    spdlog::warn(
        "volume {}: the kernel had invalidated it, most likely for lack of space; it is in use "
        "again",
        volume.id.str());
  }
  return std::make_unique<SnapshotDevice>(std::move(base), volume.fd, kVolumeHeaderBytes, name,
                                          name, !writable);
}

std::unique_ptr<DmBackend::NewContent> SnapshotBackend::MakeContent(VolumeFile& volume,
                                                                    const TemplateInfo& base) {
  const uint64_t bytes = kVolumeHeaderBytes + CowFileBytes(base.size_bytes);
  CheckSyscall(ftruncate(volume.fd, static_cast<off_t>(bytes)), "make a volume");
  return nullptr;
}

void SnapshotBackend::RequireSpaceForCopy(int file_fd, const std::string& attempted) const {
  if (shares_blocks_) return;
  const DiskSpace disk = Room();
  struct stat status {};
  CheckSyscall(fstat(file_fd, &status), attempted);
  const uint64_t needed = AllocatedBytes(status) + FreeSpaceFloor(disk.total);
  if (disk.total == 0 || disk.free >= needed) return;
  throw Error(ENOSPC, attempted,
              fmt::format("it takes {} MiB, with what is kept free, and {} MiB are left",
                          needed >> 20, disk.free >> 20),
              kMakeRoom);
}

std::unique_ptr<DmBackend::NewContent> SnapshotBackend::CopyContent(const VolumeFile& source,
                                                                    VolumeFile& volume) {
  RequireSpaceForCopy(source.fd, fmt::format("copy volume {}", source.id.str()));
  const auto copy = [&] { CopySparse(source.fd, volume.fd); };
  volume.header = source.header;
  // A read-only volume cannot change, whether it is active or not.
  if (source.header.read_only) {
    copy();
  } else {
    volume.header = Active(source.id)->CopyAt(copy);
  }
  return nullptr;
}

void SnapshotBackend::TakeAway(const VolumeId& id) {
  CheckSyscall(unlinkat(home().volumes.get(), VolumeFileName(id).c_str(), 0),
               fmt::format("destroy volume {}", id.str()));
}

VolumeUsage SnapshotBackend::Usage(const VolumeId& id) const {
  const UniqueFd file = OpenFile(id);
  const uint64_t base = template_store().DiskBytes(ReadVolumeHeader(file.get()).base);
  const FileUsage usage = MeasureFile(file.get());
  return {.referenced_bytes = base + usage.total_bytes, .exclusive_bytes = usage.exclusive_bytes};
}

}  // namespace ckptfs
