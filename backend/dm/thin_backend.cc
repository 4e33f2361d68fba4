#include "backend/dm/thin_backend.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/dm/thin_device.h"

namespace ckptfs {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

uint32_t DeviceOf(const VolumeHeader& header) {
  if (header.thin_device) return *header.thin_device;
  throw Error(EUCLEAN, "use a volume of the thin pool", "its file names no device",
              "Put the file back from a backup");
}

}  // namespace

// A pool device for a new volume.
class ThinBackend::PoolContent final : public NewContent {
 public:
  PoolContent(ThinPool& pool, const VolumeId& id) : device_(pool, id) {}
  void Keep() noexcept override { device_.Keep(); }
  ThinPool::NewDevice& device() noexcept { return device_; }

 private:
  ThinPool::NewDevice device_;
};

ThinBackend::ThinBackend(ThinHome home, const BackendOptions& options)
    : DmBackend(std::move(home.home), options,
                [this](int, const VolumeHeader& header, int image_fd) { Fill(header, image_fd); }),
      pool_directory_(std::move(home.pool)),
      pool_(pool_directory_.get(),
            {.name = device_prefix() + "pool",
             .read_only = options.read_only,
             .data_device = home.data_device,
             .metadata_device = home.metadata_device,
             .is_volume = [this](const PendingThinDevice& pending) { return Names(pending); }}) {
  if (!options.read_only) {
    reclaimer_.emplace(pool_, this->home().volumes.get(), device_prefix());
  }
  Start();
}

ThinBackend::~ThinBackend() { Stop(); }

bool ThinBackend::Names(const PendingThinDevice& pending) const {
  try {
    return DeviceOf(HeaderOf(pending.volume)) == pending.device;
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw;
    // If it has been destroyed since, its .destroyed file frees its device.
    return HasEntry(home().volumes.get(), DestroyedFileName(pending.volume));
  }
}

std::unique_ptr<VolumeDevice> ThinBackend::MakeDevice(const VolumeFile& volume,
                                                      std::shared_ptr<const LoopDevice> base,
                                                      const std::string& name,
                                                      bool writable) const {
  return std::make_unique<ThinDevice>(pool_, DeviceOf(volume.header), std::move(base), name,
                                      !writable);
}

std::unique_ptr<DmBackend::NewContent> ThinBackend::MakeContent(VolumeFile& volume,
                                                                const TemplateInfo& /*base*/) {
  auto content = std::make_unique<PoolContent>(pool_, volume.id);
  content->device().MakeEmpty();
  content->device().Commit();
  volume.header.thin_device = content->device().id();
  return content;
}

std::unique_ptr<DmBackend::NewContent> ThinBackend::CopyContent(const VolumeFile& source,
                                                                VolumeFile& volume) {
  const uint32_t origin = DeviceOf(source.header);
  // Before the pool is locked: that device may need to change it.
  const auto active = source.header.read_only ? nullptr : Active(source.id);
  auto content = std::make_unique<PoolContent>(pool_, volume.id);
  const auto copy = [&] { content->device().MakeSnapshotOf(origin); };
  volume.header = source.header;
  // Nobody writes to a read-only volume, whether it is active or not.
  if (active) {
    volume.header = active->CopyAt(copy);
  } else {
    copy();
  }
  content->device().Commit();
  volume.header.thin_device = content->device().id();
  return content;
}

void ThinBackend::TakeAway(const VolumeId& id) {
  const int fd = home().volumes.get();
  CheckSyscall(renameat(fd, VolumeFileName(id).c_str(), fd, DestroyedFileName(id).c_str()),
               fmt::format("destroy volume {}", id.str()));
  reclaimer_->Add(id);
}

VolumeUsage ThinBackend::Usage(const VolumeId& id) const {
  const VolumeHeader header = HeaderOf(id);
  const ThinPool::Usage usage = pool_.UsageOf(DeviceOf(header));
  return {.referenced_bytes = template_store().DiskBytes(header.base) + usage.mapped_bytes,
          .exclusive_bytes = usage.exclusive_bytes};
}

// For a read-only volume: nothing writes to it, however many devices it has.
void ThinBackend::Fill(const VolumeHeader& header, int image_fd) const {
  constexpr char kReading[] = "read a volume to flatten it";
  static std::atomic<uint64_t> counter = 0;
  const uint32_t id = DeviceOf(header);
  const uint64_t end = template_store().Info(header.base).size_bytes;
  ThinDevice device(pool_, id, fmt::format("{}flatten-{}-{}", device_prefix(), id, ++counter));
  const std::string& path = device.device().path();
  const UniqueFd fd(CheckSyscall(open(path.c_str(), O_RDONLY | O_CLOEXEC), kReading));
  std::string content;
  for (const ThinPool::Range& range : pool_.MappedRanges(id)) {
    const uint64_t range_end = std::min(range.begin + range.length, end);
    for (uint64_t offset = range.begin; offset < range_end; offset += content.size()) {
      content.resize(std::min(kPieceBytes, range_end - offset));
      const ssize_t got = CheckSyscall(
          pread(fd.get(), content.data(), content.size(), static_cast<off_t>(offset)), kReading);
      if (static_cast<size_t>(got) != content.size()) throw Error(EIO, kReading, "it ends early");
      WriteImagePiece(image_fd, offset, content);
    }
  }
}

}  // namespace ckptfs
