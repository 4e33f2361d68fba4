// Device-mapper devices.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ckptfs {

// The unit of device-mapper's lengths, whatever the disk's sector size.
inline constexpr uint64_t kDmSectorBytes = 512;

// The table of a device: one target over its whole length.
struct DmTable {
  uint64_t sectors = 0;
  std::string type;        // "snapshot"
  std::string parameters;  // in the format of dmsetup(8)
};

// Why device-mapper is unavailable, with the remedy; empty if it is available.
std::string DmObstacle();

// A device that is active for the lifetime of this object. The destructor removes it or, if something still
// uses it (a mount, an open file), it goes with its last user. A process that dies leaves it behind:
// RemoveDmDevices finds it by its UUID.
//
// libdevmapper is not thread-safe: all calls in this file take one lock. So any thread may use any device,
// but each device only one thread at a time. Errors are thrown as Error with the library's message.
class DmDevice {
 public:
  // `uuid` identifies the device's owner and content, at most 128 characters. Throws EBUSY if name or UUID is
  // taken.
  DmDevice(std::string name, const std::string& uuid, const DmTable& table, bool read_only);
  ~DmDevice();
  DmDevice(const DmDevice&) = delete;
  DmDevice& operator=(const DmDevice&) = delete;

  const std::string& name() const noexcept { return name_; }
  const std::string& path() const noexcept { return path_; }  // "/dev/mapper/NAME"

  // How many users have it open: mounts, and open files.
  int OpenCount() const;

  // The target's status, as printed by `dmsetup status` after the target's name.
  std::string Status() const;

  // Sends the target a message, as `dmsetup message DEVICE 0 TEXT` does. Throws Error with the target's
  // errno.
  void Message(const std::string& text);

  // From now on all reads and writes fail, and the storage below the device is free for another use.
  void FailEverything();

  // "253:4"; needs no node in /dev.
  std::string Number() const;

  // Bytes written to the device since it was created, not counting writes in flight. Empty if unknown (sysfs
  // is not mounted).
  std::optional<uint64_t> WrittenBytes() const;

  // Holds back all writes for its lifetime. A filesystem on the device is frozen first: meanwhile the
  // device's content is consistent and includes everything written. Every access to the device in between
  // blocks until the end, in particular a thread that writes to a file there.
  class Suspended {
   public:
    explicit Suspended(DmDevice& device);
    // A failed resume is logged: writes to the device would block for ever.
    ~Suspended();
    Suspended(const Suspended&) = delete;
    Suspended& operator=(const Suspended&) = delete;

   private:
    DmDevice& device_;
  };

 private:
  const std::string name_;
  const uint64_t sectors_;
  std::string path_;
};

// Names of the devices whose UUID starts with `uuid_prefix`.
std::vector<std::string> ListDmDevices(std::string_view uuid_prefix);

// Removes devices that a dead process left behind: at once, or with their last user. Resumes them first.
// Returns their number.
size_t RemoveDmDevices(std::string_view uuid_prefix);

}  // namespace ckptfs
