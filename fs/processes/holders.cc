#include "fs/processes/holders.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>

#include "backend/base/unique_fd.h"

namespace ckptfs {
namespace {

namespace stdfs = std::filesystem;

std::string ProcessPath(pid_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

std::optional<pid_t> ParsePid(const std::string& text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return pid;
}

// The value of a "key: value" line; 0 if there is none.
uint64_t ValueOf(std::string_view text, std::string_view key, int base) {
  for (size_t line = 0; line < text.size();) {
    const size_t end = std::min(text.find('\n', line), text.size());
    std::string_view rest = text.substr(line, end - line);
    line = end + 1;
    if (!rest.starts_with(key)) continue;
    rest.remove_prefix(std::min(rest.find_first_of("0123456789"), rest.size()));
    uint64_t value = 0;
    std::from_chars(rest.data(), rest.data() + rest.size(), value, base);
    return value;
  }
  return 0;
}

// The beginning of a file in /proc, which is all that is needed here.
std::string ReadStart(int dir_fd, const char* name) {
  std::array<char, 1024> text{};
  const UniqueFd fd(openat(dir_fd, name, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return {};
  const ssize_t size = read(fd.get(), text.data(), text.size());
  return size > 0 ? std::string(text.data(), static_cast<size_t>(size)) : std::string();
}

// Whether the target of that /proc link is on the filesystem. Sends the filesystem no request.
bool IsOn(dev_t device, const std::string& link) {
  struct statx status {};
  return device == 0 || (statx(AT_FDCWD, link.c_str(), AT_STATX_DONT_SYNC, 0, &status) == 0 &&
                         makedev(status.stx_dev_major, status.stx_dev_minor) == device);
}

// The same for a device as in /proc/PID/maps: "00:45", in hexadecimal.
bool IsDevice(dev_t device, const std::string& text) {
  return device == 0 || text == fmt::format("{:02x}:{:02x}", major(device), minor(device));
}

}  // namespace

void TakeOpen(pid_t process, dev_t device, std::set<uint64_t>& numbers, const TakeHolder& take) {
  const std::string fdinfo = ProcessPath(process, "fdinfo");
  const UniqueFd directory(open(fdinfo.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return;
  std::error_code error;
  for (const auto& entry : stdfs::directory_iterator(fdinfo, error)) {
    if (numbers.empty()) return;
    const std::string fd = entry.path().filename();
    const std::string info = ReadStart(directory.get(), fd.c_str());
    const auto wanted = numbers.find(ValueOf(info, "ino:", 10));
    if (wanted == numbers.end() || (ValueOf(info, "flags:", 8) & O_ACCMODE) == O_RDONLY) continue;
    const std::string link = ProcessPath(process, "fd/") + fd;
    if (!IsOn(device, link)) continue;
    take({.number = *wanted,
          .pid = process,
          .path = stdfs::read_symlink(link, error).string(),
          .command = CommandOf(process)});
    numbers.erase(wanted);
  }
}

void TakeMapped(pid_t process, dev_t device, std::set<uint64_t>& numbers, const TakeHolder& take) {
  std::ifstream maps(ProcessPath(process, "maps"));
  std::string line;
  while (!numbers.empty() && std::getline(maps, line)) {
    if (line.find(" rw-s ") == std::string::npos) continue;
    std::istringstream fields(line);
    std::string range;
    std::string permissions;
    std::string offset;
    std::string on;
    uint64_t number = 0;
    fields >> range >> permissions >> offset >> on >> number;
    if (permissions != "rw-s" || !IsDevice(device, on) || numbers.erase(number) == 0) continue;
    Holder holder{.number = number, .pid = process, .path = {}, .command = CommandOf(process)};
    std::getline(fields >> std::ws, holder.path);
    take(std::move(holder));
  }
}

pid_t ProcessOf(pid_t thread) {
  if (thread == 0) return 0;
  const std::string status = ReadStart(AT_FDCWD, ProcessPath(thread, "status").c_str());
  return static_cast<pid_t>(ValueOf(status, "Tgid:", 10));
}

// proc_pid_status(5). The lines may come after a list of 65,536 groups.
bool IsInterrupted(pid_t thread, Signals by) {
  constexpr uint64_t kKill = uint64_t{1} << (SIGKILL - 1);
  std::ifstream status(ProcessPath(thread, "status"));
  if (!status.is_open()) return false;
  uint64_t pending = 0;
  uint64_t kept_away = 0;
  std::string line;
  while (std::getline(status, line)) {
    const size_t colon = line.find(":\t");
    const std::string_view key = std::string_view(line).substr(0, colon);
    const bool is_pending = key == "SigPnd" || key == "ShdPnd";
    if (!is_pending && key != "SigBlk" && key != "SigIgn") continue;
    (is_pending ? pending : kept_away) |= std::strtoull(line.c_str() + colon + 2, nullptr, 16);
  }
  return (pending & (by == Signals::kKill ? kKill : ~kept_away | kKill)) != 0;
}

std::optional<uid_t> UserOf(pid_t process) {
  const std::string status = ReadStart(AT_FDCWD, ProcessPath(process, "status").c_str());
  if (status.empty()) return std::nullopt;
  return static_cast<uid_t>(ValueOf(status, "Uid:", 10));
}

std::string CommandOf(pid_t process) {
  std::string command = ReadStart(AT_FDCWD, ProcessPath(process, "comm").c_str());
  if (command.ends_with('\n')) command.pop_back();
  return command;
}

std::vector<pid_t> AllProcesses() {
  std::vector<pid_t> processes;
  std::error_code error;
  for (const auto& entry : stdfs::directory_iterator("/proc", error)) {
    if (const auto pid = ParsePid(entry.path().filename().string())) processes.push_back(*pid);
  }
  std::sort(processes.begin(), processes.end());
  return processes;
}

}  // namespace ckptfs
