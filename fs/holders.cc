#include "fs/holders.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
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

// The beginning of a file of /proc, which is all that is asked of it here.
std::string ReadStart(int dir_fd, const char* name) {
  std::array<char, 1024> text{};
  const UniqueFd fd(openat(dir_fd, name, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return {};
  const ssize_t size = read(fd.get(), text.data(), text.size());
  return size > 0 ? std::string(text.data(), static_cast<size_t>(size)) : std::string();
}

// Whether what that link of /proc leads to is on the filesystem; it is not asked for anything.
bool IsOn(dev_t device, const std::string& link) {
  struct statx status {};
  return device == 0 || (statx(AT_FDCWD, link.c_str(), AT_STATX_DONT_SYNC, 0, &status) == 0 &&
                         makedev(status.stx_dev_major, status.stx_dev_minor) == device);
}

// The same of a device as /proc/PID/maps has it: "00:45", in hexadecimal.
bool IsDevice(dev_t device, const std::string& text) {
  return device == 0 || text == fmt::format("{:02x}:{:02x}", major(device), minor(device));
}

// Adds what the process has open; removes it from `numbers`.
void CollectOpen(pid_t pid, dev_t filesystem, std::set<uint64_t>& numbers, SearchDeadline deadline,
                 std::vector<Holder>& holders) {
  const std::string fdinfo = ProcessPath(pid, "fdinfo");
  const UniqueFd directory(open(fdinfo.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return;
  std::error_code error;
  for (const auto& entry : stdfs::directory_iterator(fdinfo, error)) {
    if (numbers.empty() || std::chrono::steady_clock::now() > deadline) return;
    const std::string fd = entry.path().filename();
    const std::string info = ReadStart(directory.get(), fd.c_str());
    const auto wanted = numbers.find(ValueOf(info, "ino:", 10));
    if (wanted == numbers.end() || (ValueOf(info, "flags:", 8) & O_ACCMODE) == O_RDONLY) continue;
    const std::string link = ProcessPath(pid, "fd/") + fd;
    if (!IsOn(filesystem, link)) continue;
    holders.push_back(
        {.number = *wanted, .pid = pid, .path = stdfs::read_symlink(link, error).string()});
    numbers.erase(wanted);
  }
}

// The same for what it has mapped shared and writable.
void CollectMapped(pid_t pid, dev_t filesystem, std::set<uint64_t>& numbers,
                   SearchDeadline deadline, std::vector<Holder>& holders) {
  std::ifstream maps(ProcessPath(pid, "maps"));
  std::string line;
  while (!numbers.empty() && std::chrono::steady_clock::now() <= deadline &&
         std::getline(maps, line)) {
    if (line.find(" rw-s ") == std::string::npos) continue;
    std::istringstream fields(line);
    std::string range;
    std::string permissions;
    std::string offset;
    std::string device;
    uint64_t number = 0;
    fields >> range >> permissions >> offset >> device >> number;
    if (permissions != "rw-s" || !IsDevice(filesystem, device) || numbers.erase(number) == 0)
      continue;
    Holder holder{.number = number, .pid = pid, .path = {}};
    std::getline(fields >> std::ws, holder.path);
    holders.push_back(std::move(holder));
  }
}

}  // namespace

std::vector<Holder> FilesHeldBy(pid_t process, dev_t device, const std::set<uint64_t>& numbers,
                                SearchDeadline deadline) {
  std::vector<Holder> holders;
  std::set<uint64_t> left = numbers;
  CollectOpen(process, device, left, deadline, holders);
  CollectMapped(process, device, left, deadline, holders);
  return holders;
}

pid_t ProcessOf(pid_t thread) {
  if (thread == 0) return 0;
  const std::string status = ReadStart(AT_FDCWD, ProcessPath(thread, "status").c_str());
  return static_cast<pid_t>(ValueOf(status, "Tgid:", 10));
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
  return processes;
}

std::string WithoutPrefix(std::string path, const std::string& prefix) {
  if (path.starts_with(prefix + "/")) path.erase(0, prefix.size() + 1);
  return path;
}

std::vector<Holder> FindHolders(dev_t device, const std::vector<HeldFile>& files) {
  std::vector<Holder> holders;
  std::map<pid_t, std::set<uint64_t>> by_opener;
  std::set<uint64_t> left;
  for (const HeldFile& file : files) {
    left.insert(file.number);
    if (const pid_t opener = ProcessOf(file.pid); opener != 0) {
      by_opener[opener].insert(file.number);
    }
  }
  const auto collect = [&](pid_t process, const std::set<uint64_t>& numbers) {
    for (Holder& holder : FilesHeldBy(process, device, numbers)) {
      left.erase(holder.number);
      holders.push_back(std::move(holder));
    }
  };
  for (const auto& [opener, numbers] : by_opener) collect(opener, numbers);
  if (left.empty()) return holders;
  for (const pid_t process : AllProcesses()) {
    if (left.empty()) break;
    collect(process, std::set<uint64_t>(left));
  }
  return holders;
}

}  // namespace ckptfs
