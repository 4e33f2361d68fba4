// The pool in which the devices of dm-thin are.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/unique_fd.h"
#include "backend/base/uuid.h"
#include "backend/dm/device_mapper.h"
#include "backend/dm/pool_disk.h"
#include "backend/dm/thin_pool_files.h"
#include "backend/dm/thin_state.h"
#include "backend/dm/thin_status.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {

// The pool's device, active for as long as this lives, with its loop devices. There must be one at most of
// its files, or they are destroyed.
//
// What is changed goes in this order: the state, with a new transaction and the device to be made, is made
// durable; the pool makes the device; the pool is given the transaction's number; the volume's file, which
// names the device, gets its name. After a crash the pool's number is that of the state, or one lower, and
// either the volume's file is there, or the device is removed. Any other number is of another moment: EUCLEAN.
//
// Each message to the pool that has returned is durable (the kernel commits the metadata before). Any
// thread may call any function; changes wait for each other.
class ThinPool {
 public:
  struct Options {
    std::string name;  // of the device, and its UUID
    bool read_only = false;
    std::string data_device;  // as in ThinPoolPlace
    std::string metadata_device;
    // Whether that volume's file is there, and names that device.
    std::function<bool(const PendingThinDevice&)> is_volume;
  };

  // `pool_fd`, the directory of its files, is borrowed. Throws Error: EBUSY if a device that a process
  // which died has left still uses the files, EUCLEAN with the mend if the metadata is damaged or of
  // another moment, or a disk is not the pool's, EIO.
  ThinPool(int pool_fd, const Options& options);
  ~ThinPool() = default;
  ThinPool(const ThinPool&) = delete;
  ThinPool& operator=(const ThinPool&) = delete;

  // A device that is being made. No other change is made meanwhile. Removed at the end unless it was kept.
  // For one thread.
  class NewDevice {
   public:
    NewDevice(ThinPool& pool, const VolumeId& volume);
    ~NewDevice();
    NewDevice(const NewDevice&) = delete;
    NewDevice& operator=(const NewDevice&) = delete;

    uint32_t id() const noexcept { return id_; }
    // One of these, once. A source that something writes to has to be suspended (nothing checks it, and
    // the copy would be garbage).
    void MakeEmpty();
    void MakeSnapshotOf(uint32_t source);
    // To be called before the volume's file gets its name.
    void Commit();
    // Once it has.
    void Keep() noexcept { kept_ = true; }

   private:
    ThinPool& pool_;
    const std::unique_lock<std::mutex> lock_;
    uint32_t id_ = 0;
    bool kept_ = false;
  };

  // Removes a device that nothing uses. Nothing happens if there is none of that id.
  void Delete(uint32_t device);

  // What can still be written to the pool, with the limits of the disk below counted in.
  DiskSpace Room() const;
  // Gives the metadata more room when it is getting full. What keeps it from that is logged.
  void KeepMetadataRoomy();

  ThinPoolStatus Status() const;
  // "253:4", for the tables of its devices.
  std::string Number() const { return device_->Number(); }

  // What `thin_ls` and `thin_dump` of the package thin-provisioning-tools say. ENOENT with what to install
  // if there are no such tools. Takes time proportional to what is in the pool, so usage may be as it was up
  // to two seconds ago.
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
  std::mutex mutex_;  // guards what follows
  PoolDisk data_;
  PoolDisk metadata_;
  std::optional<DmDevice> device_;
  ThinState state_;
  uint64_t pool_transaction_ = 0;
  bool warned_ = false;  // of metadata that is getting full
  std::mutex tools_;     // taken before the other one; guards what follows
  std::map<uint32_t, Usage> usage_;
  std::chrono::steady_clock::time_point usage_until_;
};

}  // namespace ckptfs
