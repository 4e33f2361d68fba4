#include "backend/dm/thin_reclaimer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/dm/thin_device.h"
#include "backend/dm/volume_file.h"

namespace ckptfs {
namespace {

// Until a volume is looked at again that something uses still.
constexpr std::chrono::milliseconds kPause{500};

void DiscardAll(ThinDevice& device) {
  const std::string& path = device.device().path();
  const UniqueFd fd(CheckSyscall(open(path.c_str(), O_WRONLY | O_CLOEXEC), "open " + path));
  std::array<uint64_t, 2> range{0, device.MappedEnd()};
  if (range[1] == 0) return;
  // It does without where the pool cannot: the space is the pool's again, if not the disk's.
  if (ioctl(fd.get(), BLKDISCARD, range.data()) != 0 && errno != EOPNOTSUPP) {
    ThrowErrno("discard a destroyed volume");
  }
}

}  // namespace

ThinReclaimer::ThinReclaimer(ThinPool& pool, int volumes_fd, std::string device_prefix)
    : pool_(pool), volumes_fd_(volumes_fd), device_prefix_(std::move(device_prefix)) {
  for (const std::string& name : ReadDirectory(volumes_fd_)) {
    if (auto id = VolumeOfDestroyedFile(name)) volumes_.push_back(*std::move(id));
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

ThinReclaimer::~ThinReclaimer() {
  thread_.request_stop();
  thread_.join();
}

void ThinReclaimer::Add(const VolumeId& id) {
  const std::lock_guard lock(mutex_);
  volumes_.push_back(id);
  changed_.notify_all();
}

size_t ThinReclaimer::Pending() const {
  const std::lock_guard lock(mutex_);
  return volumes_.size();
}

void ThinReclaimer::Run(const std::stop_token& stop) {
  size_t in_vain = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    // All of them are in use, or fail.
    if (!volumes_.empty() && in_vain >= volumes_.size()) {
      changed_.wait_for(lock, stop, kPause, [] { return false; });
      in_vain = 0;
    }
    changed_.wait(lock, stop, [this] { return !volumes_.empty(); });
    if (stop.stop_requested()) return;
    // Stays in the list meanwhile, in which it counts.
    const VolumeId id = volumes_.front();
    lock.unlock();
    bool done = false;
    try {
      done = Reclaim(id);
    } catch (const std::exception& error) {
      spdlog::error(
          "give back the space of the destroyed volume {}: {}; the next mount tries again",
          id.str(), error.what());
      done = true;
    }
    lock.lock();
    volumes_.pop_front();
    if (done) {
      in_vain = 0;
    } else {
      volumes_.push_back(id);
      ++in_vain;
    }
    changed_.notify_all();
  }
}

// False if something uses it.
bool ThinReclaimer::Reclaim(const VolumeId& id) {
  if (!ListDmDevices(device_prefix_ + id.str()).empty()) return false;
  const std::string name = DestroyedFileName(id);
  const UniqueFd file(openat(volumes_fd_, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) return true;
  CheckSyscall(file.get(), "open " + name);
  const VolumeHeader header = ReadVolumeHeader(file.get());
  // A power cut must not bring the volume back when its device is gone.
  CheckSyscall(fsync(volumes_fd_), "write out the directory of volumes");
  Failpoint("reclaim.before-discard");
  const uint32_t device = header.thin_device.value_or(0);
  try {
    ThinDevice volume(pool_, device, device_prefix_ + id.str());
    DiscardAll(volume);
  } catch (const Error& error) {
    if (error.errno_value() != ENODATA) throw;  // it was removed already
  }
  Failpoint("reclaim.after-discard");
  pool_.Delete(device);
  Failpoint("reclaim.after-delete");
  CheckSyscall(unlinkat(volumes_fd_, name.c_str(), 0), "remove " + name);
  return true;
}

}  // namespace ckptfs
