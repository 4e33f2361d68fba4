#include "backend/dm/thin_pool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <regex>
#include <sstream>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/units.h"
#include "backend/dm/thin_mark.h"
#include "backend/mount/program.h"

namespace ckptfs {
namespace {

constexpr uint64_t kBlockSectors = kThinBlockBytes / kDmSectorBytes;

constexpr uint64_t kMetadataFullPercent = 75;
// The kernel reserves up to a tenth for itself.
constexpr uint64_t kMetadataStopPercent = 85;
constexpr std::chrono::seconds kUsageKept{2};

PoolDisk OpenDisk(int pool_fd, const char* name, const std::string& device, bool read_only) {
  if (!device.empty()) return {device, read_only};
  return {OpenThinPoolFile(pool_fd, name, read_only ? O_RDONLY : O_RDWR), name, read_only};
}

[[noreturn]] void RefuseOtherDisk(const PoolDisk& disk, const char* content) {
  throw Error(EUCLEAN, "use the thin pool",
              fmt::format("{} does not hold its {}", disk.path(), content),
              disk.is_file() ? kPutThinPoolBack
                             : "If devices have changed their names, make a symbolic link of "
                               "that name to the right one");
}

DmTable TableOf(const PoolDisk& metadata, const PoolDisk& data, bool read_only) {
  // Blocks are not zeroed before their first use: volumes have a base, from which the rest of a block is
  // copied. If a volume finds no space its writes fail at once, instead of waiting until someone adds some.
  const std::string features = fmt::format("{} skip_block_zeroing error_if_no_space{}",
                                           read_only ? 3 : 2, read_only ? " read_only" : "");
  return {.sectors = data.SizeBytes() / kThinBlockBytes * kBlockSectors,
          .type = "thin-pool",
          .parameters = fmt::format("{} {} {} 0 {}", metadata.Number(), data.Number(),
                                    kBlockSectors, features)};
}

}  // namespace

ThinPool::ThinPool(int pool_fd, const Options& options)
    : pool_fd_(pool_fd),
      read_only_(options.read_only),
      state_file_(OpenThinPoolFile(pool_fd, kThinStateName, read_only_ ? O_RDONLY : O_RDWR)),
      // dm-thin requires a writable data device, even if it does not write to it.
      data_(OpenDisk(pool_fd, kThinDataName, options.data_device, /*read_only=*/false)),
      metadata_(OpenDisk(pool_fd, kThinMetadataName, options.metadata_device, read_only_)),
      state_(ReadThinState(state_file_.get())) {
  // Where there is no pool, the kernel creates one, overwriting everything else.
  const bool was_used = state_.transaction > 0 || state_.data_mark;
  if (was_used && !metadata_.HoldsThinMetadata()) RefuseOtherDisk(metadata_, "metadata");
  // The kernel also rejects a device that is itself read-only.
  device_.emplace(options.name, options.name, TableOf(metadata_, data_, read_only_),
                  /*read_only=*/false);
  RequireUsable();
  CheckData();
  Recover(options.is_volume);
  if (!read_only_) KeepMetadataRoomy();
}

ThinPoolStatus ThinPool::RequireUsable() const {
  const ThinPoolStatus status = Status();
  constexpr char kUsing[] = "use the thin pool";
  if (status.mode == ThinPoolStatus::Mode::kFailed) {
    throw Error(EIO, kUsing, "the kernel cannot read its metadata, or has given it up",
                "See the kernel's log (dmesg). Copy pool/metadata.img, unmount, and mend it: "
                "thin_repair -i COPY -o pool/metadata.img");
  }
  if (status.needs_check || (status.mode == ThinPoolStatus::Mode::kReadOnly && !read_only_)) {
    throw Error(
        EUCLEAN, kUsing,
        "an error of the disk, or a lack of space, has stopped changes to its metadata, which "
        "needs to be checked",
        "Free some space there, copy pool/metadata.img, and run: thin_check "
        "--clear-needs-check-flag pool/metadata.img");
  }
  return status;
}

// Called before anything is written to the data.
void ThinPool::CheckData() {
  const std::string name = device_->name() + "-mark";
  if (state_.data_mark) {
    if (!HasThinMark(*device_, name, *state_.data_mark)) RefuseOtherDisk(data_, "data");
    return;
  }
  if (read_only_) return;
  // A pool's first activation, or a pool from before there were marks. On disk if power fails: a mark that
  // the state does not know of; the next activation writes another.
  const Uuid mark = Uuid::Generate();
  try {
    WriteThinMark(*device_, name, mark);
  } catch (const Error& error) {
    spdlog::warn("another disk in the place of {} would not be noticed: {}", data_.path(),
                 error.what());
    return;
  }
  state_.data_mark = mark;
  WriteThinState(state_file_.get(), state_);
}

void ThinPool::Recover(const std::function<bool(const PendingThinDevice&)>& is_volume) {
  const ThinPoolStatus status = Status();
  pool_transaction_ = status.transaction;
  if (pool_transaction_ != state_.transaction && pool_transaction_ + 1 != state_.transaction) {
    throw Error(EUCLEAN, "use the thin pool",
                fmt::format("its metadata does not match the recorded state "
                            "(transaction {}, and {} is expected)",
                            pool_transaction_, state_.transaction),
                kPutThinPoolBack);
  }
  if (read_only_) return;
  const MutexLock lock(mutex_);
  // Left by a process that died while a tool was reading it.
  if (status.holds_snapshot) ReleaseSnapshotLocked();
  if (state_.pending && !is_volume(*state_.pending)) {
    DeleteLocked(state_.pending->device);
    Failpoint("pool-recovery.after-delete");
  }
  CommitLocked();
  Failpoint("pool-recovery.after-commit");
  if (!state_.pending) return;
  state_.pending.reset();
  WriteThinState(state_file_.get(), state_);
}

// Requires the mutex.
void ThinPool::CommitLocked() {
  if (pool_transaction_ == state_.transaction) return;
  device_->Message(fmt::format("set_transaction_id {} {}", pool_transaction_, state_.transaction));
  pool_transaction_ = state_.transaction;
}

// Requires the mutex.
void ThinPool::DeleteLocked(uint32_t device) {
  try {
    device_->Message(fmt::format("delete {}", device));
  } catch (const Error& error) {
    if (error.errno_value() != ENODATA) throw;  // it does not exist
  }
}

void ThinPool::Delete(uint32_t device) {
  const MutexLock lock(mutex_);
  DeleteLocked(device);
}

ThinPool::NewDevice::NewDevice(ThinPool& pool, const VolumeId& volume)
    : pool_(pool), lock_(pool.mutex_) {
  if (pool_.state_.next_device > kThinDeviceMax) {
    throw Error(ENOSPC, "make a thin device", "this pool has had all the devices that it can have",
                "Make a new store, and copy the workspaces into it");
  }
  pool_.RequireUsable();
  // Finishes an interrupted earlier change.
  pool_.CommitLocked();
  ThinState next = pool_.state_;
  id_ = next.next_device++;
  ++next.transaction;
  next.pending = {.device = id_, .volume = volume};
  WriteThinState(pool_.state_file_.get(), next);
  pool_.state_ = std::move(next);
  Failpoint("pool.after-intent");
}

void ThinPool::NewDevice::MakeEmpty() {
  pool_.device_->Message(fmt::format("create_thin {}", id_));
  Failpoint("pool.after-device");
}

void ThinPool::NewDevice::MakeSnapshotOf(uint32_t source) {
  pool_.device_->Message(fmt::format("create_snap {} {}", id_, source));
  Failpoint("pool.after-device");
}

void ThinPool::NewDevice::Commit() {
  pool_.CommitLocked();
  Failpoint("pool.after-commit");
}

ThinPool::NewDevice::~NewDevice() {
  if (kept_) return;
  try {
    pool_.DeleteLocked(id_);
  } catch (const std::exception& error) {
    // The next mount finds it in the state, unless another change comes first.
    spdlog::error("remove the unfinished thin device {}: {}", id_, error.what());
  }
}

ThinPoolStatus ThinPool::Status() const {
  const std::string status = device_->Status();
  if (const auto parsed = ParseThinPoolStatus(status)) return *parsed;
  throw Error(EIO, "read the status of the thin pool", fmt::format("unknown status '{}'", status));
}

DiskSpace ThinPool::Room() const {
  const ThinPoolStatus status = Status();
  DiskSpace room{.total = status.total_data * kThinBlockBytes,
                 .used = status.used_data * kThinBlockBytes,
                 .free = (status.total_data - status.used_data) * kThinBlockBytes};
  // Without room for metadata nothing can be written or deleted.
  if (status.used_metadata * 100 >= status.total_metadata * kMetadataStopPercent &&
      !MetadataCanGrow()) {
    room.free = 0;
  }
  if (!data_.is_file()) return room;
  // The images are sparse: the disk may have less than they promise.
  const DiskSpace disk = ReadDiskSpace(pool_fd_);
  if (disk.total != 0) room.free = std::min(room.free, disk.free);
  return room;
}

bool ThinPool::MetadataCanGrow() const {
  return metadata_.is_file() && metadata_.SizeBytes() < kThinMetadataMaxBytes;
}

void ThinPool::KeepMetadataRoomy() {
  const MutexLock lock(mutex_);
  const ThinPoolStatus status = Status();
  if (status.used_metadata * 100 < status.total_metadata * kMetadataFullPercent) return;
  if (!MetadataCanGrow()) {
    if (!std::exchange(warned_, true)) {
      spdlog::warn("the metadata of the thin pool is getting full ({} of {} blocks): {}",
                   status.used_metadata, status.total_metadata,
                   metadata_.is_file() ? "delete snapshots"
                                       : "delete snapshots, or make " + metadata_.path() +
                                             " larger and mount again");
    }
    return;
  }
  const uint64_t wanted = std::min(metadata_.SizeBytes() * 2, kThinMetadataMaxBytes);
  metadata_.GrowFile(wanted);
  // The pool notices the new size of its metadata when it is resumed.
  const DmDevice::Suspended suspended(*device_);
  spdlog::info("the metadata of the thin pool has {} MiB now ({} of {} blocks were used)",
               wanted / kMiB, status.used_metadata, status.total_metadata);
}

// Requires the mutex.
void ThinPool::ReleaseSnapshotLocked() { device_->Message("release_metadata_snap"); }

// Returns a tool's output for the current metadata. Requires the tools' mutex. Changes go on meanwhile: the
// tool reads a metadata snapshot, which the kernel does not touch.
std::string ThinPool::AskTool(const std::string& tool, std::vector<std::string> arguments) {
  const Program program{.name = tool, .package = "thin-provisioning-tools"};
  ProgramResult result;
  if (read_only_) {
    // Nothing changes in a read-only pool, and no snapshot is possible.
    result = RunProgram(program, std::move(arguments), metadata_.fd());
  } else {
    {
      const MutexLock lock(mutex_);
      device_->Message("reserve_metadata_snap");
    }
    arguments.insert(arguments.end(), {"--metadata-snap", metadata_.path()});
    try {
      result = RunProgram(program, std::move(arguments));
    } catch (...) {
      const MutexLock lock(mutex_);
      ReleaseSnapshotLocked();
      throw;
    }
    const MutexLock lock(mutex_);
    ReleaseSnapshotLocked();
  }
  if (result.ExitedWith(0)) return result.output;
  throw Error(EIO, "look into the thin pool with " + tool, result.Words());
}

ThinPool::Usage ThinPool::UsageOf(uint32_t device) {
  const MutexLock lock(tools_);
  const auto now = std::chrono::steady_clock::now();
  if (now >= usage_until_ || !usage_.contains(device)) {
    std::istringstream lines(
        AskTool("thin_ls", {"--no-headers", "--format", "DEV,MAPPED_BYTES,EXCLUSIVE_BYTES"}));
    usage_.clear();
    uint32_t found = 0;
    for (Usage usage; lines >> found >> usage.mapped_bytes >> usage.exclusive_bytes;) {
      usage_[found] = usage;
    }
    usage_until_ = now + kUsageKept;
  }
  if (const auto usage = usage_.find(device); usage != usage_.end()) return usage->second;
  throw Error(EIO, "look into the thin pool", fmt::format("it has no device {}", device));
}

std::vector<ThinPool::Range> ThinPool::MappedRanges(uint32_t device) {
  const MutexLock lock(tools_);
  const std::string dump = AskTool("thin_dump", {"--dev-id", std::to_string(device)});
  static const std::regex kMapping(
      R"re(<single_mapping origin_block="(\d+)"|)re"
      R"re(<range_mapping origin_begin="(\d+)" data_begin="\d+" length="(\d+)")re");
  std::vector<Range> ranges;
  for (std::sregex_iterator match(dump.begin(), dump.end(), kMapping), end; match != end; ++match) {
    const bool is_range = (*match)[2].matched;
    const uint64_t begin = std::stoull((*match)[is_range ? 2 : 1]);
    const uint64_t length = is_range ? std::stoull((*match)[3]) : 1;
    ranges.push_back({.begin = begin * kThinBlockBytes, .length = length * kThinBlockBytes});
  }
  return ranges;
}

}  // namespace ckptfs
