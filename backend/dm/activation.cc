#include "backend/dm/activation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/mount.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"

namespace ckptfs {
namespace {

// Makes a mount's whole filesystem read-only.
void MakeReadOnly(int root_fd, const std::string& attempted) {
  const UniqueFd context(
      CheckSyscall(fspick(root_fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH), attempted));
  CheckSyscall(fsconfig(context.get(), FSCONFIG_SET_FLAG, "ro", nullptr, 0), attempted);
  CheckSyscall(fsconfig(context.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0), attempted);
}

}  // namespace

Activation::Activation(const VolumeId& id, UniqueFd file, DeviceMaker make_device,
                       const ImageFilesystem& filesystem, const ActivationOptions& options)
    : id_(id),
      filesystem_(filesystem),
      options_(options),
      make_device_(std::move(make_device)),
      file_(std::move(file)),
      header_(ReadVolumeHeader(file_.get())),
      writable_(!header_.read_only && !options.never_write),
      device_(make_device_(file_.get(), header_)) {
  if (writable_) MarkInUse();
  MountFilesystem();
}

void Activation::MarkInUse() {
  VolumeHeader header = header_;
  if (header.in_use) header.marker = NewMarker();
  // If power fails from here on: the header says "in use", although nobody uses it.
  header.in_use = true;
  SaveHeader(header);
}

void Activation::MountFilesystem() {
  ImageMount how = writable_ ? ImageMount::kWritable : ImageMount::kSettled;
  if (!writable_ && header_.in_use) {
    how = ImageMount::kWithoutJournal;
    spdlog::warn(
        "volume {}: read-only after an unclean stop: what was written in the last seconds before "
        "that becomes visible only after a writable mount",
        id_.str());
  }
  try {
    root_ = filesystem_.Mount(
        device_->device().path(),
        {.how = how, .access_times = options_.access_times, .discard = options_.discard});
  } catch (const Error& error) {
    throw Error(error.errno_value() == ENOENT ? EIO : error.errno_value(),
                fmt::format("mount volume {}", id_.str()), error.why(),
                fmt::format("See the kernel's log (dmesg), and look whether the file {} of the "
                            "store is whole",
                            VolumeFileName(id_)));
  }
  root_fd_ = root_.get();
  if (!writable_) return;
  errors_at_mount_ = filesystem_.ErrorCount(root_.get());
  // Writes by the mount itself are not changes.
  filesystem_.Settle(root_.get());
  Sync();
  unchanged_up_to_ = device_->device().WrittenBytes();
}

void Activation::Revive() {
  const MutexLock lock(mutex_);
  // From here on, the mounted filesystem writes nothing, even if a file of it is open.
  if (device_) device_->device().FailEverything();
  device_.reset();
  if (root_.valid()) former_roots_.push_back(std::move(root_));
  device_ = make_device_(file_.get(), header_);
  MarkInUse();
  MountFilesystem();
  has_stopped_ = false;
}

Activation::Condition Activation::Look() const {
  if (!writable_) return {};
  if (!device_ || !root_.valid()) return {.has_stopped = true, .device_is_lost = true};
  const bool lost = !device_->IsSound();
  return {.has_stopped = lost || filesystem_.ErrorCount(root_.get()) > errors_at_mount_,
          .device_is_lost = lost};
}

Activation::Condition Activation::LookAfter() {
  const MutexLock lock(mutex_);
  const Condition condition = Look();
  has_stopped_ = condition.has_stopped;
  return condition;
}

Activation::~Activation() {
  try {
    Close();
  } catch (const std::exception& error) {
    spdlog::error("put away volume {}: {}", id_.str(), error.what());
  }
}

void Activation::Close() {
  const MutexLock lock(mutex_);
  if (Look().has_stopped) return;  // the header rightly says "in use"
  if (writable_) {
    CheckSyscall(syncfs(root_.get()), "write out a filesystem");
    UpdateMarker(filesystem_.ThawBytes());
  }
  root_.Reset();
  // If a file is open and may still be written to, the header is right.
  const bool is_last = device_->device().OpenCount() == 0;
  device_.reset();
  if (!writable_ || !is_last) return;
  Failpoint("volume-close.before-header");
  header_.in_use = false;
  SaveHeader(header_);
}

// Durable on return. The file's header and this object must never disagree.
void Activation::SaveHeader(const VolumeHeader& header) {
  WriteVolumeHeader(file_.get(), header);
  CheckSyscall(fdatasync(file_.get()), "write out the header of a volume's file");
  header_ = header;
}

void Activation::UpdateMarker(uint64_t own_writes) {
  const std::optional<uint64_t> written = device_ ? device_->device().WrittenBytes() : std::nullopt;
  if (written && unchanged_up_to_ && *written <= *unchanged_up_to_ + own_writes) return;
  header_.marker = NewMarker();
  unchanged_up_to_ = written;
}

uint64_t Activation::Marker() {
  const MutexLock lock(mutex_);
  if (writable_) UpdateMarker(filesystem_.ThawBytes());
  return header_.marker;
}

void Activation::Sync() {
  CheckSyscall(syncfs(root_fd()), fmt::format("sync volume {}", id_.str()));
}

void Activation::Seal() {
  const std::string attempted = fmt::format("make volume {} read-only", id_.str());
  const MutexLock lock(mutex_);
  if (header_.read_only) return;
  RequireSound(attempted);
  // Writes out everything, and leaves no journal to replay.
  MakeReadOnly(root_.get(), attempted);
  UpdateMarker(filesystem_.ThawBytes() + filesystem_.FreezeBytes());
  // If power fails here: a writable volume, with all its data.
  Failpoint("volume-seal.before-flag");
  VolumeHeader sealed = header_;
  sealed.read_only = true;
  sealed.in_use = false;
  SaveHeader(sealed);
  writable_ = false;
  Failpoint("volume-seal.after-flag");
}

bool Activation::LimitGrowth(uint64_t bytes) {
  const MutexLock lock(mutex_);
  return writable_ && root_.valid() && filesystem_.LimitGrowth(root_.get(), bytes);
}

// A filesystem that has stopped has no state from which a copy could start.
void Activation::RequireSound(const std::string& attempted) const {
  if (!Look().has_stopped) return;
  throw Error(
      EIO, attempted,
      "its filesystem has stopped after an error of the disk below, or for want of space there",
      "Free some space on the disk of the store; if it has stopped still some seconds later, "
      "unmount, and mount again");
}

VolumeHeader Activation::CopyAt(const std::function<void()>& copy) {
  const MutexLock lock(mutex_);
  if (writable_) RequireSound(fmt::format("copy volume {}", id_.str()));
  // A volume that nobody writes to need not be suspended.
  std::optional<DmDevice::Suspended> suspended;
  if (writable_) {
    // Most of the dirty data, before anybody has to wait.
    CheckSyscall(syncfs(root_.get()), "write out a filesystem");
    suspended.emplace(device_->device());
    Failpoint("volume-copy.suspended");
    // The filesystem may have been thawed once since, and is frozen now.
    UpdateMarker(filesystem_.ThawBytes() + filesystem_.FreezeBytes());
    unchanged_up_to_ = device_->device().WrittenBytes();
  }
  copy();
  return header_;
}

}  // namespace ckptfs
