#include "backend/mount/detached_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

// The kernel's log in the context of a failed mount: lines like "e btrfs: text".
std::string ReadLog(int context_fd) {
  std::vector<std::string> lines;
  std::array<char, 512> line{};
  ssize_t length = 0;
  while ((length = read(context_fd, line.data(), line.size())) > 0) {
    std::string text(line.data(), static_cast<size_t>(length));
    if (text.size() > 2 && text[1] == ' ') text.erase(0, 2);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    lines.push_back(std::move(text));
  }
  return fmt::format("{}", fmt::join(lines, "; "));
}

[[noreturn]] void ThrowMountError(int context_fd, const std::string& attempted) {
  const int error = errno;
  std::string why = std::generic_category().message(error);
  const std::string log = ReadLog(context_fd);
  if (!log.empty()) why += " (" + log + ")";
  throw Error(error, attempted, why, "The kernel's log (dmesg) may say more");
}

unsigned MountAttributes(const DetachedMountOptions& options) {
  unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (options.read_only) attributes |= MOUNT_ATTR_RDONLY;
  mount_attr access_times{};
  SetAccessTimes(options.access_times, access_times);
  return attributes | static_cast<unsigned>(access_times.attr_set);
}

// The descriptors from fsmount(2) and open_tree(2) are O_PATH; open_by_handle_at(2) and the ioctls need a
// really open directory.
UniqueFd OpenRoot(const UniqueFd& mount) {
  return UniqueFd(CheckSyscall(openat(mount.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                               "open the root of a private mount"));
}

}  // namespace

void SetAccessTimes(const AccessTimes& wanted, mount_attr& attributes) {
  // A multi-valued field, which must be cleared before it is set. MOUNT_ATTR_RELATIME is 0.
  if (wanted.rule != AccessTimeRule::kDefault) attributes.attr_clr |= MOUNT_ATTR__ATIME;
  if (wanted.rule == AccessTimeRule::kStrict) attributes.attr_set |= MOUNT_ATTR_STRICTATIME;
  if (wanted.rule == AccessTimeRule::kNone) attributes.attr_set |= MOUNT_ATTR_NOATIME;
  if (wanted.spare_directories) attributes.attr_set |= MOUNT_ATTR_NODIRATIME;
}

UniqueFd MountDetached(const std::string& filesystem, const std::string& device,
                       const DetachedMountOptions& options) {
  const std::string attempted = fmt::format("mount {} ({})", device, filesystem);
  const UniqueFd context(CheckSyscall(fsopen(filesystem.c_str(), FSOPEN_CLOEXEC), attempted));
  const auto set = [&](unsigned command, const char* key, const char* value) {
    if (fsconfig(context.get(), command, key, value, 0) != 0) {
      ThrowMountError(context.get(), attempted);
    }
  };
  set(FSCONFIG_SET_STRING, "source", device.c_str());
  if (options.read_only) set(FSCONFIG_SET_FLAG, "ro", nullptr);
  if (options.access_times.lazy) set(FSCONFIG_SET_FLAG, "lazytime", nullptr);
  for (const auto& [key, value] : options.filesystem_options) {
    if (value.empty()) {
      set(FSCONFIG_SET_FLAG, key.c_str(), nullptr);
    } else {
      set(FSCONFIG_SET_STRING, key.c_str(), value.c_str());
    }
  }
  set(FSCONFIG_CMD_CREATE, nullptr, nullptr);
  const UniqueFd mount(fsmount(context.get(), FSMOUNT_CLOEXEC, MountAttributes(options)));
  if (!mount.valid()) ThrowMountError(context.get(), attempted);
  return OpenRoot(mount);
}

UniqueFd CloneDetached(int directory_fd, const DetachedMountOptions& options) {
  const UniqueFd mount(
      CheckSyscall(open_tree(directory_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC),
                   "make a private mount of the store's directory"));
  mount_attr attributes{};
  attributes.attr_set = MountAttributes(options);
  SetAccessTimes(options.access_times, attributes);
  CheckSyscall(mount_setattr(mount.get(), "", AT_EMPTY_PATH, &attributes, sizeof(attributes)),
               "set the options of a private mount of the store's directory");
  return OpenRoot(mount);
}

}  // namespace ckptfs
