#include "backend/dm/device_mapper.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <libdevmapper.h>
#include <linux/dm-ioctl.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <memory>
#include <mutex>

#include "backend/base/error.h"
#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"

namespace ckptfs {
namespace {

Mutex& LibraryMutex() {
  static Mutex mutex;
  return mutex;
}

// The library's last message. Requires its mutex.
std::string& LastWords() {
  static std::string words;
  return words;
}

[[gnu::format(printf, 5, 6)]] void NoteWords(int level, const char* /*file*/, int /*line*/,
                                             int /*dm_errno*/, const char* format, ...) {
  if ((level & 7) > 3) return;  // syslog(3) levels above error
  std::array<char, 512> text{};
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text.data(), text.size(), format, arguments);
  va_end(arguments);
  LastWords() = text.data();
}

// One use of the library.
class Session {
 public:
  Session() : lock_(LibraryMutex()) {
    static const bool prepared = [] {
      dm_log_with_errno_init(NoteWords);
      // In a container udev runs elsewhere, and nobody would answer.
      if (access("/run/udev/control", F_OK) != 0) dm_udev_set_sync_support(0);
      return true;
    }();
    (void)prepared;
    LastWords().clear();
  }

  [[noreturn]] static void Throw(int error, const std::string& attempted) {
    throw Error(error != 0 ? error : EIO, attempted, LastWords());
  }

 private:
  const HeldLock lock_;
};

using Task = std::unique_ptr<dm_task, void (*)(dm_task*)>;

Task MakeTask(int type, const std::string& attempted) {
  Task task(dm_task_create(type), &dm_task_destroy);
  if (!task) Session::Throw(ENOMEM, attempted);
  return task;
}

Task MakeTaskFor(int type, const std::string& name, const std::string& attempted) {
  Task task = MakeTask(type, attempted);
  if (dm_task_set_name(task.get(), name.c_str()) == 0) Session::Throw(EINVAL, attempted);
  return task;
}

void Run(const Task& task, const std::string& attempted) {
  if (dm_task_run(task.get()) != 0) return;
  Session::Throw(dm_task_get_errno(task.get()), attempted);
}

// For tasks that create, change or remove a device node: waits for udev, if it is running, and keeps udev
// from probing the device, which would hold it open.
void RunWithUdev(const Task& task, const std::string& attempted) {
  uint32_t cookie = 0;
  constexpr uint16_t kHandsOff = DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG |
                                 DM_UDEV_DISABLE_DISK_RULES_FLAG | DM_UDEV_DISABLE_OTHER_RULES_FLAG;
  if (dm_task_set_cookie(task.get(), &cookie, kHandsOff) == 0) Session::Throw(EIO, attempted);
  const bool done = dm_task_run(task.get()) != 0;
  const int error = done ? 0 : dm_task_get_errno(task.get());
  const std::string words = LastWords();
  dm_udev_wait(cookie);  // even after a failure: the cookie is a SysV semaphore
  if (done) return;
  LastWords() = words;
  Session::Throw(error, attempted);
}

void Resume(const std::string& name) {
  const std::string attempted = "resume the device " + name;
  const Task task = MakeTaskFor(DM_DEVICE_RESUME, name, attempted);
  dm_task_set_add_node(task.get(), DM_ADD_NODE_ON_RESUME);
  RunWithUdev(task, attempted);
}

// Sets the device's table, in effect from its next resume.
void Load(const std::string& name, const DmTable& table, bool read_only,
          const std::string& attempted) {
  const Task load = MakeTaskFor(DM_DEVICE_RELOAD, name, attempted);
  if (dm_task_add_target(load.get(), 0, table.sectors, table.type.c_str(),
                         table.parameters.c_str()) == 0 ||
      (read_only && dm_task_set_ro(load.get()) == 0)) {
    Session::Throw(EINVAL, attempted);
  }
  Run(load, attempted);
}

void Remove(const std::string& name) {
  const std::string attempted = "remove the device " + name;
  const Task task = MakeTaskFor(DM_DEVICE_REMOVE, name, attempted);
  dm_task_deferred_remove(task.get());
  RunWithUdev(task, attempted);
}

std::string UuidOf(const std::string& name) {
  const std::string attempted = "look at the device " + name;
  const Task task = MakeTaskFor(DM_DEVICE_INFO, name, attempted);
  if (dm_task_run(task.get()) == 0) return {};  // just removed
  const char* uuid = dm_task_get_uuid(task.get());
  return uuid == nullptr ? "" : uuid;
}

std::vector<std::string> List(std::string_view uuid_prefix) {
  const std::string attempted = "list the devices of device-mapper";
  const Task task = MakeTask(DM_DEVICE_LIST, attempted);
  Run(task, attempted);
  std::vector<std::string> names;
  const dm_names* entry = dm_task_get_names(task.get());
  if (entry == nullptr || entry->dev == 0) return names;
  while (true) {
    if (UuidOf(entry->name).starts_with(uuid_prefix)) names.emplace_back(entry->name);
    if (entry->next == 0) return names;
    entry = reinterpret_cast<const dm_names*>(reinterpret_cast<const char*>(entry) + entry->next);
  }
}

}  // namespace

std::string DmObstacle() {
  // The node alone proves nothing: libdevmapper creates it on any request. So open it directly; the library
  // would create it here, too.
  const UniqueFd control(open("/dev/mapper/control", O_RDWR | O_CLOEXEC));
  dm_ioctl request{};
  request.version[0] = DM_VERSION_MAJOR;
  request.data_size = sizeof(request);
  if (control.valid() && ioctl(control.get(), DM_VERSION, &request) == 0) return {};
  const int error = errno;
  return fmt::format(
      "there is no device-mapper here (/dev/mapper/control: {}); load the kernel's "
      "module (modprobe dm-mod), and give a container this device",
      std::generic_category().message(error));
}

// In three steps: the library's single-step call does not keep the errno.
DmDevice::DmDevice(std::string name, const std::string& uuid, const DmTable& table, bool read_only)
    : name_(std::move(name)), sectors_(table.sectors) {
  const std::string attempted = fmt::format("make the device {} ({})", name_, table.type);
  const Session session;
  const Task create = MakeTaskFor(DM_DEVICE_CREATE, name_, attempted);
  if (dm_task_set_uuid(create.get(), uuid.c_str()) == 0) Session::Throw(EINVAL, attempted);
  Run(create, attempted);
  try {
    Load(name_, table, read_only, attempted);
    Resume(name_);
  } catch (const Error&) {
    try {
      Remove(name_);
    } catch (const Error& error) {
      spdlog::error("{}", error.what());
    }
    throw;
  }
  path_ = fmt::format("{}/{}", dm_dir(), name_);
}

DmDevice::~DmDevice() {
  try {
    const Session session;
    Remove(name_);
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
  }
}

int DmDevice::OpenCount() const {
  const std::string attempted = "look at the device " + name_;
  const Session session;
  const Task task = MakeTaskFor(DM_DEVICE_INFO, name_, attempted);
  Run(task, attempted);
  dm_info info{};
  if (dm_task_get_info(task.get(), &info) == 0) Session::Throw(EIO, attempted);
  return info.open_count;
}

std::string DmDevice::Status() const {
  const std::string attempted = "ask for the status of the device " + name_;
  const Session session;
  const Task task = MakeTaskFor(DM_DEVICE_STATUS, name_, attempted);
  // Otherwise it is flushed first.
  dm_task_no_flush(task.get());
  Run(task, attempted);
  uint64_t start = 0;
  uint64_t length = 0;
  char* type = nullptr;
  char* parameters = nullptr;
  dm_get_next_target(task.get(), nullptr, &start, &length, &type, &parameters);
  return parameters == nullptr ? "" : parameters;
}

void DmDevice::Message(const std::string& text) {
  const std::string attempted = fmt::format("tell the device {} '{}'", name_, text);
  const Session session;
  const Task task = MakeTaskFor(DM_DEVICE_TARGET_MSG, name_, attempted);
  if (dm_task_set_sector(task.get(), 0) == 0 ||
      dm_task_set_message(task.get(), text.c_str()) == 0) {
    Session::Throw(EINVAL, attempted);
  }
  Run(task, attempted);
}

void DmDevice::FailEverything() {
  const std::string attempted = fmt::format("end all use of the device {}", name_);
  const Session session;
  Load(name_, {.sectors = sectors_, .type = "error", .parameters = ""}, /*read_only=*/false,
       attempted);
  // Do not wait for I/O in flight: it would have to be written.
  const Task suspend = MakeTaskFor(DM_DEVICE_SUSPEND, name_, attempted);
  dm_task_skip_lockfs(suspend.get());
  dm_task_no_flush(suspend.get());
  Run(suspend, attempted);
  Resume(name_);
}

std::string DmDevice::Number() const {
  struct stat status {};
  CheckSyscall(stat(path_.c_str(), &status), "look at " + path_);
  return fmt::format("{}:{}", major(status.st_rdev), minor(status.st_rdev));
}

std::optional<uint64_t> DmDevice::WrittenBytes() const {
  std::ifstream file(fmt::format("/sys/dev/block/{}/stat", Number()));
  // Documentation/block/stat.rst: the seventh number is the count of sectors written.
  constexpr int kBefore = 6;
  uint64_t number = 0;
  for (int i = 0; i < kBefore; ++i) file >> number;
  if (!(file >> number)) return std::nullopt;
  return number * kDmSectorBytes;
}

DmDevice::Suspended::Suspended(DmDevice& device) : device_(device) {
  const std::string attempted = "suspend the device " + device.name();
  const Session session;
  Run(MakeTaskFor(DM_DEVICE_SUSPEND, device.name(), attempted), attempted);
}

DmDevice::Suspended::~Suspended() {
  try {
    const Session session;
    Resume(device_.name());
  } catch (const std::exception& error) {
    spdlog::critical("{}: writes to it wait until `dmsetup resume {}`", error.what(),
                     device_.name());
  }
}

std::vector<std::string> ListDmDevices(std::string_view uuid_prefix) {
  const Session session;
  return List(uuid_prefix);
}

size_t RemoveDmDevices(std::string_view uuid_prefix) {
  const Session session;
  const std::vector<std::string> names = List(uuid_prefix);
  for (const std::string& name : names) {
    // A suspended device blocks its users, and could not be removed.
    Resume(name);
    Remove(name);
  }
  return names.size();
}

}  // namespace ckptfs
