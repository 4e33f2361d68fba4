#include "tools/ckptfs/stale_daemon.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/mount_table.h"
#include "backend/base/packing.h"
#include "backend/base/scouts.h"
#include "catalog/store/lock.h"

namespace ckptfs {
namespace {

constexpr std::chrono::seconds kPredecessorWait{30};
// For one question to a scout, and for one thing that it looks at.
constexpr std::chrono::seconds kLookMax{2};
constexpr std::chrono::milliseconds kPatience{200};

// Asks the filesystem for nothing that it does not know at once.
struct FileId {
  dev_t device = 0;
  uint64_t inode = 0;

  bool operator==(const FileId&) const = default;
};
std::optional<FileId> IdOf(const std::string& path) {
  struct statx status {};
  if (statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, STATX_INO, &status) != 0) return {};
  return FileId{makedev(status.stx_dev_major, status.stx_dev_minor), status.stx_ino};
}

// --- Tasks of scouts: what a mount's source is called, and what a process has open, is up to others ------

// Reports the targets of the mounts of the store that a process sees. Request: the process, the store's path.
void RunFindMounts(Scout& scout, std::string_view bytes) {
  Unpacker request(bytes);
  const std::vector<Mount> mounts = ReadMounts(fmt::format("/proc/{}/mountinfo", request.Number()));
  const std::optional<FileId> store = IdOf(request.Text());
  if (!store) return;
  const uint64_t behind = request.Number();
  uint64_t place = 0;
  for (const Mount& mount : mounts) {
    if (++place <= behind || mount.type != kFilesystemType) continue;
    scout.LookAt(place);
    // By whatever path: symlinks and bind mounts lead to the same store.
    if (IdOf(mount.source) == store) scout.Report(mount.target);
  }
}

// proc_pid_status(5): SIGKILL is pending for the process or its first thread, or that has ended already.
bool IsKilled(pid_t pid) {
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

void RunIsKilled(Scout& scout, std::string_view bytes) {
  if (IsKilled(static_cast<pid_t>(Unpacker(bytes).Number()))) scout.Report("killed");
}

// Reports whether a thread of the process has the file open. (Its first one, when it has ended, shows none.)
// Request: the process, the file's path.
void RunHasOpen(Scout& scout, std::string_view bytes) {
  Unpacker request(bytes);
  const uint64_t pid = request.Number();
  const std::optional<FileId> file = IdOf(request.Text());
  if (!file) return;
  std::error_code error;
  for (std::filesystem::directory_iterator thread(fmt::format("/proc/{}/task", pid), error), end;
       !error && thread != end; thread.increment(error)) {
    std::error_code ended;
    for (std::filesystem::directory_iterator fd(thread->path() / "fd", ended);
         !ended && fd != std::filesystem::directory_iterator(); fd.increment(ended)) {
      if (IdOf(fd->path()) == file) return scout.Report("open");
    }
  }
}

Scouts::Outcome Send(Scouts::Task task, const std::string& request) {
  return Scouts::Send(task, request, Scouts::Clock::now() + kLookMax, kPatience);
}

// --- Questions to them -----------------------------------------------------------------------------------

std::vector<std::string> MountsOf(pid_t pid, const std::string& store_path) {
  std::vector<std::string> targets;
  Scouts::Outcome outcome;
  const auto deadline = Scouts::Clock::now() + kLookMax;
  do {
    Packer request;
    request.Number(static_cast<uint64_t>(pid)).Text(store_path).Number(outcome.place);
    outcome = Send(RunFindMounts, request.bytes());
    targets.insert(targets.end(), outcome.reports.begin(), outcome.reports.end());
  } while (outcome.end == Scouts::Outcome::End::kStuck && Scouts::Clock::now() < deadline);
  return targets;
}

bool IsBeingKilled(pid_t pid) {
  const Packer request = Packer().Number(static_cast<uint64_t>(pid));
  return !Send(RunIsKilled, request.bytes()).reports.empty();
}

// The process that holds the store's lock, if that tells. The number in it may mean another process here than
// where it was written, or be of one that has ended, where nobody could write another: so it has to have the
// lock open, too.
std::optional<pid_t> HolderOf(const std::string& store_path) {
  const std::optional<pid_t> holder = StoreLock::Holder(store_path);
  if (!holder) return std::nullopt;
  Packer request;
  request.Number(static_cast<uint64_t>(*holder));
  request.Text(store_path + "/" + StoreLock::kFileName);
  if (Send(RunHasOpen, request.bytes()).reports.empty()) return std::nullopt;
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
  for (const std::string& target : MountsOf(getpid(), store_path)) {
    // Aborts the connection first, and unmounts then, which fails while the mount is in use.
    if (umount2(target.c_str(), MNT_FORCE | UMOUNT_NOFOLLOW) != 0 && errno != EBUSY) {
      spdlog::warn("abort the mount on {}: {}", target, std::strerror(errno));
      continue;
    }
    spdlog::info("aborted the mount on {}, whose daemon {} was killed and has not ended", target,
                 *killed);
  }
}

std::unique_ptr<Store> OpenAfterStaleDaemon(const StoreOptions& options) {
  const auto deadline = std::chrono::steady_clock::now() + kPredecessorWait;
  while (true) {
    try {
      return Store::Open(options);
    } catch (const Error& error) {
      if (error.errno_value() != EBUSY) throw;
      // Of one that cannot be told, its mount can be seen from here.
      const pid_t who = HolderOf(options.path).value_or(getpid());
      if (!IsBeingKilled(who) && !MountsOf(who, options.path).empty()) throw;
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
