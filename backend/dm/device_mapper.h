// Devices of the kernel's device-mapper.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ckptfs {

// The unit of device-mapper's lengths, whatever the disks' is.
inline constexpr uint64_t kDmSectorBytes = 512;

// What stands behind a device: one target over its whole length.
struct DmTable {
  uint64_t sectors = 0;
  std::string type;        // "snapshot"
  std::string parameters;  // as dmsetup(8) takes them
};

// Why there is no device-mapper here, with what to do; empty if there is.
std::string DmObstacle();

// A device that is active for as long as this lives. It goes at the end of this object or, where
// something still uses it then (a mount, an open file), with its last user. A process that dies leaves
// it: RemoveDmDevices finds it by its UUID.
//
// libdevmapper is not made for threads: all calls of this file take one lock, so any thread may use any
// device, and each device one thread at a time. Errors are thrown as Error with the library's own words.
class DmDevice {
 public:
  // `uuid` is device-mapper's name for the device's owner and content, at most 128 characters.
  // Throws EBUSY if name or UUID is taken.
  DmDevice(std::string name, const std::string& uuid, const DmTable& table, bool read_only);
  ~DmDevice();
  DmDevice(const DmDevice&) = delete;
  DmDevice& operator=(const DmDevice&) = delete;

  const std::string& name() const noexcept { return name_; }
  const std::string& path() const noexcept { return path_; }  // "/dev/mapper/NAME"

  // How many have it open: mounts, and open files.
  int OpenCount() const;

  // What the target tells of itself, as `dmsetup status` prints it after the target's name.
  std::string Status() const;

  // Gives the target a message, as `dmsetup message DEVICE 0 TEXT` does. Throws Error with the errno that
  // the target gave.
  void Message(const std::string& text);

  // From now on all reading and writing fails, and what stood behind the device is free for another one.
  void FailEverything();

  // "253:4", which needs no node in /dev.
  std::string Number() const;

  // Bytes that were written to the device since it was made; what is under way is not counted. Empty if
  // this system does not tell (sysfs is not mounted).
  std::optional<uint64_t> WrittenBytes() const;

  // Keeps all writes waiting for as long as it lives. A filesystem on the device is frozen before: what
  // is on the device meanwhile is consistent, with all that was written. Whoever touches the device in
  // between, a thread that writes to a file there above all, waits for the end.
  class Suspended {
   public:
    explicit Suspended(DmDevice& device);
    // What cannot be resumed is logged: writes to it would wait for ever.
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

// Names of the devices whose UUID begins with `uuid_prefix`.
std::vector<std::string> ListDmDevices(std::string_view uuid_prefix);

// Removes what a process that died has left: at once, or with the last user. Resumes it before.
// Returns how many there were.
size_t RemoveDmDevices(std::string_view uuid_prefix);

}  // namespace ckptfs
