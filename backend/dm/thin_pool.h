// The dm-thin pool.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"
#include "backend/base/uuid.h"
#include "backend/dm/device_mapper.h"
#include "backend/dm/pool_disk.h"
#include "backend/dm/thin_pool_files.h"
#include "backend/dm/thin_state.h"
#include "backend/dm/thin_status.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {

// The pool's device, active for the lifetime of this object, with its loop devices. There must be at most one on its
// files, or they are destroyed.
//
// Changes happen in this order: the state, with a new transaction and the device to create, is made durable;
// the pool creates the device; the pool gets the transaction's number; the volume's file, which names the
// device, gets its name. After a crash the pool's number equals the state's, or is one lower, and if the
// volume's file does not exist, the device is removed. Any other number means that state and pool are from
// different moments: EUCLEAN.
//
// A message to the pool is durable when it returns (the kernel commits the metadata first). Thread-safe;
// changes wait for each other.
class ThinPool {
 public:
  struct Options {
    std::string name;  // of the device, and its UUID
    bool read_only = false;
    std::string data_device;  // as in ThinPoolPlace
    std::string metadata_device;
    // Whether that volume's file exists and names that device.
    std::function<bool(const PendingThinDevice&)> is_volume;
  };

  // `pool_fd`, the directory of its files, is borrowed. Throws Error: EBUSY if a device left by a dead
  // process still uses the files; EUCLEAN with the remedy if the metadata is damaged or from another moment,
  // or a disk is not the pool's; EIO.
  ThinPool(int pool_fd, const Options& options);
  ~ThinPool() = default;
  ThinPool(const ThinPool&) = delete;
  ThinPool& operator=(const ThinPool&) = delete;

  // A device being created. Blocks all other changes. Removed by the destructor unless it was kept. Used by
  // one thread.
  class NewDevice {
   public:
    NewDevice(ThinPool& pool, const VolumeId& volume);
    ~NewDevice();
    NewDevice(const NewDevice&) = delete;
    NewDevice& operator=(const NewDevice&) = delete;

    uint32_t id() const noexcept { return id_; }
    // Call one of these, once. If something writes to the source it must be suspended (nothing checks that,
    // and the copy would be garbage).
    void MakeEmpty();
    void MakeSnapshotOf(uint32_t source);
    // Called before the volume's file gets its name.
    void Commit();
    // Called once it has its name.
    void Keep() noexcept { kept_ = true; }

   private:
    ThinPool& pool_;
    const HeldLock lock_;
    uint32_t id_ = 0;
    bool kept_ = false;
  };

  // Removes an unused device. Does nothing if there is no device of that id.
  void Delete(uint32_t device);

  // The space that can still be written to the pool, including the limits of the disk below.
  DiskSpace Room() const;
  // Extends the metadata when it is getting full. Logs a failure.
  void KeepMetadataRoomy();

  ThinPoolStatus Status() const;
  // "253:4", for the tables of its devices.
  std::string Number() const { return device_->Number(); }

  // The output of `thin_ls` and `thin_dump` from the package thin-provisioning-tools. ENOENT with what to
  // install if they are missing. Takes time proportional to the pool's content, so usage may be up to two
  // seconds old.
  struct Usage {
    uint64_t mapped_bytes = 0;
    uint64_t exclusive_bytes = 0;
  };
  Usage UsageOf(uint32_t device);
  struct Range {
    uint64_t begin = 0;  // bytes
    uint64_t length = 0;
  };
  std::vector<Range> MappedRanges(uint32_t device);

 private:
  void CheckData();
  void Recover(const std::function<bool(const PendingThinDevice&)>& is_volume);
  ThinPoolStatus RequireUsable() const;
  void DeleteLocked(uint32_t device);
  void CommitLocked();
  std::string AskTool(const std::string& tool, std::vector<std::string> arguments);
  void ReleaseSnapshotLocked();
  bool MetadataCanGrow() const;  // by itself

  const int pool_fd_;
  const bool read_only_;
  UniqueFd state_file_;
  // Guards what follows. A NewDevice holds it, which the analysis cannot follow.
  Mutex mutex_;
  PoolDisk data_;
  PoolDisk metadata_;
  std::optional<DmDevice> device_;
  ThinState state_;
  uint64_t pool_transaction_ = 0;
  bool warned_ = false;  // that the metadata is getting full
  Mutex tools_;          // lock order: before `mutex_`
  std::map<uint32_t, Usage> usage_ GUARDED_BY(tools_);
  std::chrono::steady_clock::time_point usage_until_ GUARDED_BY(tools_);
};

}  // namespace ckptfs
