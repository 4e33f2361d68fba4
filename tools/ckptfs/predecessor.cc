#include "tools/ckptfs/predecessor.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string_view>
#include <thread>

#include "backend/base/error.h"
#include "catalog/lock.h"
#include "tools/ckptfs/mount_table.h"

namespace ckptfs {
namespace {

constexpr std::chrono::seconds kPredecessorWait{30};

bool IsSameFile(const struct stat& a, const std::string& path) {
  struct stat b {};
  return stat(path.c_str(), &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Calls `action` with the target of each mount of the store that process `pid` sees.
void ForEachMount(pid_t pid, const std::string& store_path,
                  const std::function<void(const std::string& target)>& action) {
  struct stat store {};
  if (stat(store_path.c_str(), &store) != 0) return;
  const MountTable table = ReadMounts(fmt::format("/proc/{}/mountinfo", pid));
  if (!table) return;
  const std::unique_ptr<libmnt_iter, void (*)(libmnt_iter*)> iterator(
      mnt_new_iter(MNT_ITER_FORWARD), mnt_free_iter);
  libmnt_fs* fs = nullptr;
  while (mnt_table_next_fs(table.get(), iterator.get(), &fs) == 0) {
    const char* type = mnt_fs_get_fstype(fs);
    const char* source = mnt_fs_get_source(fs);
    if (type == nullptr || source == nullptr || std::string_view(type) != kFilesystemType) continue;
    // By whatever path: symlinks and bind mounts lead to the same store.
    if (IsSameFile(store, source)) action(mnt_fs_get_target(fs));
  }
}

bool HasMountOf(pid_t pid, const std::string& store_path) {
  bool found = false;
  ForEachMount(pid, store_path, [&](const std::string&) { found = true; });
  return found;
}

// proc_pid_status(5): SIGKILL is pending for the process or its first thread, or that has ended already.
bool IsBeingKilled(pid_t pid) {
  constexpr uint64_t kKill = uint64_t{1} << (SIGKILL - 1);
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  std::string line;
  while (std::getline(status, line)) {
    const std::string_view text = line;
    if (text.starts_with("State:\tZ") || text.starts_with("State:\tX")) return true;
    if (text.starts_with("SigPnd:\t") || text.starts_with("ShdPnd:\t")) {
      const uint64_t pending = std::strtoull(line.c_str() + std::strlen("SigPnd:\t"), nullptr, 16);
      if ((pending & kKill) != 0) return true;
    }
  }
  return false;
}

// Whether a thread of the process has the file open. (Its first one, when it has ended, shows none.)
bool HasOpen(pid_t pid, const struct stat& file) {
  std::error_code error;
  for (std::filesystem::directory_iterator thread(fmt::format("/proc/{}/task", pid), error), end;
       !error && thread != end; thread.increment(error)) {
    std::error_code ended;
    for (std::filesystem::directory_iterator fd(thread->path() / "fd", ended);
         !ended && fd != std::filesystem::directory_iterator(); fd.increment(ended)) {
      if (IsSameFile(file, fd->path())) return true;
    }
  }
  return false;
}

// The process that holds the store's lock, if that tells. The number in it may mean another process here than
// where it was written, or be of one that has ended, where nobody could write another: so it has to have the
// lock open, too.
std::optional<pid_t> HolderOf(const std::string& store_path) {
  const std::optional<pid_t> holder = StoreLock::Holder(store_path);
  struct stat lock {};
  if (!holder || stat((store_path + "/" + StoreLock::kFileName).c_str(), &lock) != 0 ||
      !HasOpen(*holder, lock)) {
    return std::nullopt;
  }
  return holder;
}

// That, if it is killed.
std::optional<pid_t> KilledHolder(const std::string& store_path) {
  const std::optional<pid_t> holder = HolderOf(store_path);
  return holder && IsBeingKilled(*holder) ? holder : std::nullopt;
}

}  // namespace

void AbortMountsOfKilled(const std::string& store_path) {
  const std::optional<pid_t> killed = KilledHolder(store_path);
  if (!killed) return;
  ForEachMount(getpid(), store_path, [&](const std::string& target) {
    // Aborts the connection first, and unmounts then, which fails while the mount is in use.
    if (umount2(target.c_str(), MNT_FORCE | UMOUNT_NOFOLLOW) != 0 && errno != EBUSY) {
      spdlog::warn("abort the mount on {}: {}", target, std::strerror(errno));
      return;
    }
    spdlog::info("aborted the mount on {}, whose daemon {} was killed and has not ended", target,
                 *killed);
  });
}

std::unique_ptr<Store> OpenAfterPredecessor(const StoreOptions& options) {
  const auto deadline = std::chrono::steady_clock::now() + kPredecessorWait;
  while (true) {
    try {
      return Store::Open(options);
    } catch (const Error& error) {
      if (error.errno_value() != EBUSY) throw;
      // Of one that cannot be told, its mount can be seen from here.
      const pid_t who = HolderOf(options.path).value_or(getpid());
      if (!IsBeingKilled(who) && HasMountOf(who, options.path)) throw;
      if (std::chrono::steady_clock::now() > deadline) {
        const std::optional<pid_t> killed = KilledHolder(options.path);
        if (!killed) throw;
        throw Error(
            EBUSY, "lock the store",
            fmt::format("process {}, which has it, was killed and waits in the kernel", *killed),
            "See to the disk that the store is on");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
}

}  // namespace ckptfs
