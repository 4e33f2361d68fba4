#include "tools/ckpt/workspace_users.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <cstdint>
#include <optional>
#include <string_view>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/text.h"
#include "backend/base/unique_fd.h"
#include "catalog/trees/names.h"

namespace ckptfs::cli {
namespace {

constexpr size_t kDescribedMax = 10;

std::optional<pid_t> ParsePid(std::string_view name) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (error != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  return pid;
}

// The names in a directory of /proc; none if the process is gone, or another user's.
std::vector<std::string> NamesIn(int at, const char* path) {
  UniqueFd fd(openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::vector<std::string> names;
  if (!fd.valid()) return names;
  try {
    ForEachEntry(std::move(fd), "look at processes", [&names](const dirent& entry) {
      names.emplace_back(entry.d_name);
      return true;
    });
  } catch (const Error&) {  // the process ended
  }
  return names;
}

std::string CommandOf(int process_fd) {
  const UniqueFd file(openat(process_fd, "comm", O_RDONLY | O_CLOEXEC));
  char name[64];
  const ssize_t got = file.valid() ? read(file.get(), name, sizeof name) : 0;
  std::string command(name, got > 0 ? static_cast<size_t>(got) : 0);
  if (command.ends_with('\n')) command.pop_back();
  return PlainText(command);
}

class Search {
 public:
  Search(const std::string& root, dev_t device) : root_(root), device_(device) {}

  // Empty if it does not use the workspace.
  std::string UseBy(int process_fd) const {
    for (const char* link : {"cwd", "root", "exe"}) {
      std::string use = UseBy(process_fd, link);
      if (!use.empty()) return use;
    }
    for (const std::string& number : NamesIn(process_fd, "fd")) {
      std::string use = UseBy(process_fd, "fd/" + number);
      if (!use.empty()) return use;
    }
    return "";
  }

 private:
  std::string UseBy(int process_fd, const std::string& link) const {
    std::string target(PATH_MAX, '\0');
    const ssize_t length = readlinkat(process_fd, link.c_str(), target.data(), target.size());
    if (length < 0) return "";
    target.resize(static_cast<size_t>(length));
    std::string use = UseOf(link, target, root_);
    if (use.empty()) return use;
    // A process with another root directory may mean something else by that path.
    struct stat info {};
    if (fstatat(process_fd, link.c_str(), &info, 0) != 0 || info.st_dev != device_) return "";
    return use;
  }

  const std::string& root_;
  const dev_t device_;
};

}  // namespace

std::string UseOf(const std::string& link, const std::string& target, const std::string& root) {
  if (!target.starts_with(root)) return "";
  std::string_view rest = std::string_view(target).substr(root.size());
  if (!rest.empty() && rest.front() != '/') return "";  // a name that begins like the root's
  if (!rest.empty()) rest.remove_prefix(1);
  const std::string_view first = rest.substr(0, rest.find('/'));
  // Whoever reads snapshots, or talks to the daemon, is not in the way.
  if (first == kSnapshotsName || first == kControlName) return "";
  if (link == "cwd" || link == "root") return "stands in it";
  const std::string name = rest.empty() ? "it" : QuoteName(rest);
  return link == "exe" ? "runs " + name : "has " + name + " open";
}

std::vector<WorkspaceUser> FindUsers(const std::string& root, dev_t device) {
  std::vector<WorkspaceUser> users;
  const Search search(root, device);
  for (const std::string& name : NamesIn(AT_FDCWD, "/proc")) {
    const std::optional<pid_t> pid = ParsePid(name);
    if (!pid || *pid == getpid()) continue;
    const UniqueFd process(open(("/proc/" + name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!process.valid()) continue;
    std::string use = search.UseBy(process.get());
    if (use.empty()) continue;
    users.push_back({.pid = *pid, .command = CommandOf(process.get()), .use = std::move(use)});
  }
  std::sort(users.begin(), users.end(),
            [](const WorkspaceUser& a, const WorkspaceUser& b) { return a.pid < b.pid; });
  return users;
}

std::string Describe(const std::vector<WorkspaceUser>& users) {
  std::string text;
  for (size_t i = 0; i < users.size() && i < kDescribedMax; ++i) {
    text += fmt::format("{}{} (pid {}) {}", i == 0 ? "" : ", ", users[i].command, users[i].pid,
                        users[i].use);
  }
  if (users.size() > kDescribedMax)
    text += fmt::format(" and {} more", users.size() - kDescribedMax);
  return text;
}

}  // namespace ckptfs::cli
