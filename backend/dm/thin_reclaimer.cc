#include "backend/dm/thin_reclaimer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/store_file.h"
#include "backend/dm/thin_device.h"
#include "backend/dm/volume_file.h"

namespace ckptfs {
namespace {

// The pause before retrying a volume that is still in use...
constexpr std::chrono::milliseconds kUsedPause{500};
// ... or that could not be removed: the pool may have no room for that, or the disk below an error.
constexpr std::chrono::seconds kFailedPause{10};

void DiscardAll(ThinDevice& device) {
  const std::string& path = device.device().path();
  const UniqueFd fd(CheckSyscall(open(path.c_str(), O_WRONLY | O_CLOEXEC), "open " + path));
  std::array<uint64_t, 2> range{0, device.MappedEnd()};
  if (range[1] == 0) return;
  // Continues if the pool does not support it: the pool gets the space back, if not the disk.
  if (ioctl(fd.get(), BLKDISCARD, range.data()) != 0 && errno != EOPNOTSUPP) {
    ThrowErrno("discard a destroyed volume");
  }
}

}  // namespace

ThinReclaimer::ThinReclaimer(ThinPool& pool, int volumes_fd, std::string device_prefix)
    : pool_(pool), volumes_fd_(volumes_fd), device_prefix_(std::move(device_prefix)) {
  for (const std::string& name : ReadDirectory(volumes_fd_)) {
    if (auto id = VolumeOfDestroyedFile(name)) volumes_.push_back({.id = *std::move(id)});
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

ThinReclaimer::~ThinReclaimer() {
  thread_.request_stop();
  thread_.join();
}

void ThinReclaimer::Add(const VolumeId& id) {
  const MutexLock lock(mutex_);
  volumes_.push_back({.id = id});
  changed_.notify_all();
}

size_t ThinReclaimer::Pending() const {
  const MutexLock lock(mutex_);
  return volumes_.size();
}

void ThinReclaimer::Run(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  while (!stop.stop_requested()) {
    const auto next = std::ranges::min_element(volumes_, {}, &Destroyed::next_try);
    if (next == volumes_.end()) {
      changed_.wait(lock.native(), stop, [this]() REQUIRES(mutex_) { return !volumes_.empty(); });
      continue;
    }
    if (next->next_try > Clock::now()) {
      const size_t known = volumes_.size();
      changed_.wait_until(lock.native(), stop, next->next_try,
                          [this, known]() REQUIRES(mutex_) { return volumes_.size() != known; });
      continue;
    }
    // It stays in the list meanwhile, so that it is counted.
    lock.Unlock();
    const bool done = Try(*next);
    lock.Lock();
    if (done) volumes_.erase(next);
  }
}

bool ThinReclaimer::Try(Destroyed& volume) {
  try {
    if (Reclaim(volume.id)) return true;
    volume.next_try = Clock::now() + kUsedPause;
  } catch (const std::exception& error) {
    if (!std::exchange(volume.failed, true)) {
      spdlog::error("give back the space of the destroyed volume {}: {}; it is tried again",
                    volume.id.str(), error.what());
    }
    volume.next_try = Clock::now() + kFailedPause;
  }
  return false;
}

// False if it is in use.
bool ThinReclaimer::Reclaim(const VolumeId& id) {
  if (!ListDmDevices(device_prefix_ + id.str()).empty()) return false;
  const std::string name = DestroyedFileName(id);
  const UniqueFd file = TryOpenStoreFile(volumes_fd_, name, O_RDONLY);
  if (!file.valid() && errno == ENOENT) return true;
  CheckSyscall(file.get(), "open " + name);
  const VolumeHeader header = ReadVolumeHeader(file.get());
  // A power failure must not bring the volume back when its device is gone.
  CheckSyscall(fsync(volumes_fd_), "write out the directory of volumes");
  Failpoint("reclaim.before-discard");
  if (const auto device = header.thin_device) {
    try {
      ThinDevice volume(pool_, *device, device_prefix_ + id.str());
      DiscardAll(volume);
    } catch (const Error& error) {
      if (error.errno_value() != ENODATA) throw;  // it was removed already
    }
    Failpoint("reclaim.after-discard");
    pool_.Delete(*device);
  }
  Failpoint("reclaim.after-delete");
  CheckSyscall(unlinkat(volumes_fd_, name.c_str(), 0), "remove " + name);
  return true;
}

}  // namespace ckptfs
