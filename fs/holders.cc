#include "fs/holders.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

namespace ckptfs {
namespace {

namespace stdfs = std::filesystem;

std::optional<pid_t> ParsePid(const std::string& text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return pid;
}

// The value of a "key: value" line of a file in /proc; 0 if there is none.
uint64_t ProcNumber(const stdfs::path& file, const std::string& key) {
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    if (!line.starts_with(key)) continue;
    const size_t digit = line.find_first_of("0123456789");
    return digit == std::string::npos ? 0 : std::strtoull(line.c_str() + digit, nullptr, 10);
  }
  return 0;
}

std::string CommandOf(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/comm");
  std::string command;
  std::getline(in, command);
  return command;
}

std::string PathOf(const stdfs::path& link, const std::string& prefix) {
  std::error_code error;
  std::string path = stdfs::read_symlink(link, error).string();
  if (path.starts_with(prefix + "/")) path.erase(0, prefix.size() + 1);
  return path;
}

// The same for what it has mapped shared and writable.
void CollectMappings(pid_t pid, const std::string& prefix, std::set<uint64_t>& numbers,
                     std::vector<OpenWriter>& holders) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  std::string line;
  while (!numbers.empty() && std::getline(maps, line)) {
    std::istringstream fields(line);
    std::string range;
    std::string permissions;
    std::string offset;
    std::string device;
    uint64_t number = 0;
    fields >> range >> permissions >> offset >> device >> number;
    if (permissions != "rw-s" || numbers.erase(number) == 0) continue;
    std::string path;
    std::getline(fields >> std::ws, path);
    if (path.starts_with(prefix + "/")) path.erase(0, prefix.size() + 1);
    holders.push_back({.pid = pid, .command = CommandOf(pid), .path = path});
  }
}

// Adds what `pid` holds of `numbers`; removes those from `numbers`.
void CollectFrom(pid_t pid, const std::string& prefix, std::set<uint64_t>& numbers,
                 std::vector<OpenWriter>& holders) {
  const stdfs::path base = "/proc/" + std::to_string(pid);
  std::error_code error;
  for (const auto& entry : stdfs::directory_iterator(base / "fdinfo", error)) {
    const auto wanted = numbers.find(ProcNumber(entry.path(), "ino:"));
    if (wanted == numbers.end()) continue;
    holders.push_back({.pid = pid,
                       .command = CommandOf(pid),
                       .path = PathOf(base / "fd" / entry.path().filename(), prefix)});
    numbers.erase(wanted);
  }
  CollectMappings(pid, prefix, numbers, holders);
}

}  // namespace

std::vector<OpenWriter> FindHolders(const std::vector<HeldFile>& files, const std::string& prefix) {
  std::vector<OpenWriter> holders;
  std::set<uint64_t> numbers;
  std::set<pid_t> openers;
  for (const HeldFile& file : files) {
    numbers.insert(file.number);
    const stdfs::path status = "/proc/" + std::to_string(file.pid) + "/status";
    if (const uint64_t pid = ProcNumber(status, "Tgid:"); pid != 0) {
      openers.insert(static_cast<pid_t>(pid));
    }
  }
  for (const pid_t pid : openers) CollectFrom(pid, prefix, numbers, holders);
  if (numbers.empty()) return holders;
  std::error_code error;
  for (const auto& entry : stdfs::directory_iterator("/proc", error)) {
    const auto pid = ParsePid(entry.path().filename().string());
    if (pid && !openers.contains(*pid)) CollectFrom(*pid, prefix, numbers, holders);
  }
  return holders;
}

}  // namespace ckptfs
