#include "backend/mount/loop_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/packing.h"
#include "backend/base/proc_path.h"
#include "backend/base/scouts.h"

namespace ckptfs {
namespace {

constexpr int kAttachAttempts = 64;
constexpr auto kNodeWait = std::chrono::milliseconds(200);
constexpr auto kDetachWait = std::chrono::seconds(2);
// The time limit for the filesystem of one device's file to answer.
constexpr auto kDeviceMax = std::chrono::milliseconds(50);
constexpr auto kPoll = std::chrono::milliseconds(10);

UniqueFd OpenControl() {
  UniqueFd control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control.valid()) {
    ThrowErrno("open /dev/loop-control",
               "Load the kernel's loop module (modprobe loop), and give a container this device");
  }
  return control;
}

// Opens /dev/loopN. A container's /dev is often a fixed set of nodes without udev: after a short wait,
// creates the node.
UniqueFd OpenNode(int number, bool read_only) {
  const std::string path = fmt::format("/dev/loop{}", number);
  const int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
  const auto deadline = std::chrono::steady_clock::now() + kNodeWait;
  bool made = false;
  while (true) {
    UniqueFd fd(open(path.c_str(), flags));
    if (fd.valid()) return fd;
    if (errno != ENOENT || made) ThrowErrno("open " + path);
    if (std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(kPoll);
      continue;
    }
    const dev_t device = makedev(LOOP_MAJOR, static_cast<unsigned>(number));
    if (mknod(path.c_str(), S_IFBLK | 0600, device) != 0 && errno != EEXIST) {
      ThrowErrno("make the device node " + path, "Give the container more loop devices in /dev");
    }
    made = true;
  }
}

// The machine's loop devices with their files' paths, from sysfs: that sends no filesystem a request.
std::vector<AttachedFile> ListPaths() {
  std::vector<AttachedFile> files;
  UniqueFd devices(open("/sys/block", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!devices.valid()) return files;  // no sysfs: unknown
  ForEachEntry(std::move(devices), "look for loop devices", [&files](const dirent& entry) {
    const std::string device = entry.d_name;
    if (!device.starts_with("loop")) return true;
    std::ifstream link("/sys/block/" + device + "/loop/backing_file");
    std::string path;
    if (std::getline(link, path)) files.push_back({.device = "/dev/" + device, .path = path});
    return true;
  });
  return files;
}

// A scout's task: asks the listed devices, starting at `first`, for the numbers of their files.
void RunAskDevices(Scout& scout, std::string_view bytes) {
  Unpacker request(bytes);
  const uint64_t first = request.Number();
  for (uint64_t index = 0; !request.empty(); ++index) {
    const std::string device = request.Text();
    if (index < first) continue;
    scout.LookAt(index + 1);
    const UniqueFd fd(open(device.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    loop_info64 info{};
    if (!fd.valid() || ioctl(fd.get(), LOOP_GET_STATUS64, &info) != 0) continue;
    scout.Report(Packer().Number(index).Number(info.lo_device).Number(info.lo_inode).bytes());
  }
}

// The last component of the path by which an open file was reached.
std::string NameOf(int file_fd) {
  const std::string path = PathOfDescriptor(file_fd);
  return path.substr(path.rfind('/') + 1);
}

std::optional<std::string> FindDeviceOf(int file_fd) {
  struct stat file {};
  CheckSyscall(fstat(file_fd, &file), "look at an image");
  const std::string name = NameOf(file_fd);
  // Only the last component counts, as the path differs in another mount namespace.
  const auto may_be_meant = [&](const std::string& path) {
    return path.find(name) != std::string::npos;
  };
  for (const AttachedFile& attached : ListAttachedFiles(may_be_meant)) {
    if (attached.filesystem == file.st_dev && attached.inode == file.st_ino) return attached.device;
  }
  return std::nullopt;
}

}  // namespace

std::vector<AttachedFile> ListAttachedFiles(
    const std::function<bool(const std::string& path)>& may_be_meant,
    std::chrono::milliseconds time_max) {
  std::vector<AttachedFile> files = ListPaths();
  std::erase_if(files, [&](const AttachedFile& file) { return !may_be_meant(file.path); });
  std::vector<AttachedFile> told;
  if (files.empty()) return told;
  const auto deadline = Scouts::Clock::now() + time_max;
  Scouts::Outcome outcome;
  do {
    Packer request;
    request.Number(outcome.place);
    for (const AttachedFile& file : files) request.Text(file.device);
    outcome = Scouts::Send(RunAskDevices, request.bytes(), deadline, kDeviceMax);
    for (const std::string& report : outcome.reports) {
      Unpacker fields(report);
      AttachedFile& file = files.at(fields.Number());
      file.filesystem = fields.Number();
      file.inode = fields.Number();
      told.push_back(file);
    }
  } while (outcome.end == Scouts::Outcome::End::kStuck && Scouts::Clock::now() < deadline);
  return told;
}

std::optional<std::string> WaitUntilDetached(int file_fd) {
  const auto deadline = std::chrono::steady_clock::now() + kDetachWait;
  while (true) {
    std::optional<std::string> device = FindDeviceOf(file_fd);
    if (!device || std::chrono::steady_clock::now() >= deadline) return device;
    std::this_thread::sleep_for(kPoll);
  }
}

LoopDevice::LoopDevice(int file_fd, const LoopOptions& options) {
  loop_config config{};
  config.fd = static_cast<__u32>(file_fd);
  config.block_size = options.sector_bytes;
  config.info.lo_offset = options.offset_bytes;
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
  if (options.read_only) config.info.lo_flags |= LO_FLAGS_READ_ONLY;
  std::strncpy(reinterpret_cast<char*>(config.info.lo_file_name), options.name.c_str(),
               LO_NAME_SIZE - 1);

  const UniqueFd control = OpenControl();
  for (int attempt = 0; attempt < kAttachAttempts; ++attempt) {
    const int number = CheckSyscall(ioctl(control.get(), LOOP_CTL_GET_FREE), "find a loop device");
    UniqueFd fd = OpenNode(number, options.read_only);
    if (ioctl(fd.get(), LOOP_CONFIGURE, &config) == 0) {
      fd_ = std::move(fd);
      path_ = fmt::format("/dev/loop{}", number);
      break;
    }
    // Another process took it between the two calls: ask for the next one.
    if (errno != EBUSY) {
      ThrowErrno(fmt::format("attach {} to /dev/loop{}",
                             options.name.empty() ? "a file" : options.name, number));
    }
  }
  if (!fd_.valid()) {
    throw Error(EBUSY, "attach a loop device",
                fmt::format("{} of them were taken by others just then", kAttachAttempts));
  }
  // If the filesystem has no direct I/O, LOOP_CONFIGURE does not fail; the flag is then missing.
  loop_info64 info{};
  direct_io_ =
      ioctl(fd_.get(), LOOP_GET_STATUS64, &info) == 0 && (info.lo_flags & LO_FLAGS_DIRECT_IO) != 0;
  if (!direct_io_) {
    spdlog::warn(
        "{}: no direct I/O on the filesystem of {}: data is cached twice and checkpoints "
        "under load take longer",
        path_, options.name.empty() ? "its file" : options.name);
  }
}

std::string LoopDevice::Number() const {
  struct stat status {};
  CheckSyscall(fstat(fd_.get(), &status), "look at " + path_);
  return fmt::format("{}:{}", major(status.st_rdev), minor(status.st_rdev));
}

uint64_t LoopDevice::SizeBytes() const {
  uint64_t bytes = 0;
  CheckSyscall(ioctl(fd_.get(), BLKGETSIZE64, &bytes), "ask for the size of " + path_);
  return bytes;
}

void LoopDevice::UpdateSize() {
  CheckSyscall(ioctl(fd_.get(), LOOP_SET_CAPACITY), "take over the new size of " + path_);
}

}  // namespace ckptfs
