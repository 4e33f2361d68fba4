#include "fs/processes/mount_owners.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>

#include <optional>
#include <string>

#include "backend/base/unique_fd.h"

namespace ckptfs {
namespace {

// The user who created the user namespace that owns the process's mount namespace; root for the initial one.
// Empty if the process is gone, or on any other failure.
std::optional<uid_t> OwnerOfNamespace(pid_t process) {
  const std::string path = "/proc/" + std::to_string(process) + "/ns/mnt";
  const UniqueFd mounts(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!mounts.valid()) return std::nullopt;
  const UniqueFd users(ioctl(mounts.get(), NS_GET_USERNS));
  uid_t owner = 0;
  if (!users.valid() || ioctl(users.get(), NS_GET_OWNER_UID, &owner) != 0) return std::nullopt;
  return owner;
}

}  // namespace

void DropMountsOfStrangers(std::vector<ForeignMount>& mounts, const struct stat& root) {
  constexpr mode_t kOthersMayWrite = S_IWGRP | S_IWOTH;  // with an ACL, the group bits are the mask
  if ((root.st_mode & kOthersMayWrite) != 0) return;
  std::erase_if(mounts, [&](const ForeignMount& mount) {
    if (mount.process == 0) return false;
    const std::optional<uid_t> owner = OwnerOfNamespace(mount.process);
    return owner && *owner != 0 && *owner != root.st_uid;
  });
}

}  // namespace ckptfs
