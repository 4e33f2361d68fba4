#include "fs/processes/foreign_mounts.h"

#include <libmount/libmount.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string_view>

#include "backend/base/packing.h"
#include "backend/base/scouts.h"
#include "fs/processes/holders.h"
#include "fs/processes/stuck_places.h"

namespace ckptfs {
namespace {

constexpr size_t kNamedMountsMax = 10;
// Suffix of a mount's root if that directory has no name at the moment.
constexpr std::string_view kDeletedMark = "//deleted";

StuckPlaces stuck_at_mounts;  // processes

using Table = std::unique_ptr<libmnt_table, void (*)(libmnt_table*)>;

// The mount namespace of a process, as text; empty if it is gone.
std::string NamespaceOf(pid_t process) {
  const std::string link = "/proc/" + std::to_string(process) + "/ns/mnt";
  std::array<char, 64> text{};
  const ssize_t size = readlink(link.c_str(), text.data(), text.size());
  return size <= 0 ? std::string() : std::string(text.data(), static_cast<size_t>(size));
}

std::string_view TextOf(const char* text) { return text == nullptr ? "" : text; }

bool IsAtOrBelow(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

// The root of a mount, as a path in its filesystem.
std::string RootOf(libmnt_fs* fs) {
  std::string_view root = TextOf(mnt_fs_get_root(fs));
  if (root.ends_with(kDeletedMark)) root.remove_suffix(kDeletedMark.size());
  return root == "/" ? std::string() : std::string(root);
}

// The path, in the filesystem of `parent`, at which the mount with this target is mounted.
std::string PlaceIn(libmnt_fs* parent, std::string_view target) {
  std::string_view top = TextOf(mnt_fs_get_target(parent));
  if (top == "/") top = "";
  if (!IsAtOrBelow(target, top)) return {};  // not visible to that process
  return RootOf(parent) + std::string(target.substr(top.size()));
}

void Collect(libmnt_table* table, pid_t process, dev_t device, const std::string& directory,
             ForeignMounts& found) {
  std::map<int, libmnt_fs*> ours;  // by mount id
  std::vector<libmnt_fs*> all;
  const std::unique_ptr<libmnt_iter, void (*)(libmnt_iter*)> at(mnt_new_iter(MNT_ITER_FORWARD),
                                                                mnt_free_iter);
  if (!at) throw std::bad_alloc();
  libmnt_fs* fs = nullptr;
  while (mnt_table_next_fs(table, at.get(), &fs) == 0) {
    all.push_back(fs);
    if (mnt_fs_get_devno(fs) == device) ours.emplace(mnt_fs_get_id(fs), fs);
  }
  for (libmnt_fs* const one : all) {
    const ForeignMount mount{.target = std::string(TextOf(mnt_fs_get_target(one))),
                             .type = std::string(TextOf(mnt_fs_get_fstype(one))),
                             .process = process};
    const auto parent = ours.find(mnt_fs_get_parent_id(one));
    if (parent != ours.end() && IsAtOrBelow(PlaceIn(parent->second, mount.target), directory)) {
      found.inside.push_back(mount);
    }
    if (mnt_fs_get_devno(one) == device && IsAtOrBelow(RootOf(one), directory)) {
      found.of_it.push_back(mount);
    }
  }
}

void Report(Scout& scout, const std::vector<ForeignMount>& mounts, uint64_t is_inside) {
  for (const ForeignMount& mount : mounts) {
    Packer report;
    report.Number(is_inside).Number(static_cast<uint64_t>(mount.process));
    scout.Report(report.Text(mount.target).Text(mount.type).bytes());
  }
}

// All processes except those. Processes of the same users come last: a user must not hide those of others.
std::vector<pid_t> ProcessesBut(const std::set<pid_t>& stuck) {
  std::set<std::optional<uid_t>> users;
  for (const pid_t process : stuck) users.insert(UserOf(process));
  std::vector<pid_t> processes = AllProcesses();
  std::erase_if(processes, [&](pid_t process) { return stuck.contains(process); });
  if (stuck.empty()) return processes;
  std::stable_partition(processes.begin(), processes.end(),
                        [&](pid_t process) { return !users.contains(UserOf(process)); });
  return processes;
}

// A scout's task. Request: the daemon's process, the device, the directory, and the processes to skip.
void RunFindMounts(Scout& scout, std::string_view bytes) {
  Unpacker request(bytes);
  const auto daemon = static_cast<pid_t>(request.Number());
  const dev_t device = request.Number();
  const std::string directory = request.Text();
  std::set<pid_t> stuck;
  while (!request.empty()) stuck.insert(static_cast<pid_t>(request.Number()));
  std::vector<pid_t> processes = ProcessesBut(stuck);
  processes.insert(processes.begin(), daemon);
  std::set<std::string> seen = {""};
  for (const pid_t process : processes) {
    scout.LookAt(static_cast<uint64_t>(process));
    if (!seen.insert(NamespaceOf(process)).second) continue;
    const std::string path = "/proc/" + std::to_string(process) + "/mountinfo";
    const Table table(mnt_new_table_from_file(path.c_str()), mnt_unref_table);
    if (!table) continue;  // the process has exited
    ForeignMounts found;
    Collect(table.get(), process == daemon ? 0 : process, device, directory, found);
    Report(scout, found.inside, 1);
    Report(scout, found.of_it, 0);
  }
}

ForeignMounts ReadReports(const std::vector<std::string>& reports) {
  ForeignMounts found;
  for (const std::string& report : reports) {
    Unpacker fields(report);
    std::vector<ForeignMount>& mounts = fields.Number() != 0 ? found.inside : found.of_it;
    const auto process = static_cast<pid_t>(fields.Number());
    std::string target = fields.Text();
    mounts.push_back({.target = std::move(target), .type = fields.Text(), .process = process});
  }
  return found;
}

}  // namespace

ForeignMounts FindForeignMounts(dev_t device, const std::string& workspace) {
  constexpr std::chrono::seconds kMax{2};
  constexpr std::chrono::milliseconds kPatience{50};
  const auto deadline = Scouts::Clock::now() + kMax;
  std::set<uint64_t> stuck = stuck_at_mounts.Now();
  Scouts::Outcome outcome;
  do {
    Packer request;
    request.Number(static_cast<uint64_t>(getpid())).Number(device).Text("/" + workspace);
    for (const uint64_t process : stuck) request.Number(process);
    outcome = Scouts::Send(RunFindMounts, request.bytes(), deadline, kPatience);
    if (outcome.end == Scouts::Outcome::End::kDone) break;
    spdlog::warn("look for mounts in workspace {}: what process {} has mounted cannot be seen",
                 workspace, outcome.place);
    stuck_at_mounts.Add(outcome.place);
    stuck.insert(outcome.place);
  } while (outcome.end == Scouts::Outcome::End::kStuck && Scouts::Clock::now() < deadline);
  return ReadReports(outcome.reports);
}

dev_t DeviceOfMount(const std::string& mountpoint) {
  const Table table(mnt_new_table_from_file("/proc/self/mountinfo"), mnt_unref_table);
  if (!table) return 0;
  libmnt_fs* fs = mnt_table_find_target(table.get(), mountpoint.c_str(), MNT_ITER_BACKWARD);
  return fs == nullptr ? 0 : mnt_fs_get_devno(fs);
}

std::string Describe(const std::vector<ForeignMount>& mounts) {
  std::string text;
  for (size_t i = 0; i < mounts.size() && i < kNamedMountsMax; ++i) {
    if (i != 0) text += ", ";
    text += mounts[i].type + " on " + mounts[i].target;
    if (mounts[i].process != 0) text += " (seen by pid " + std::to_string(mounts[i].process) + ")";
  }
  if (mounts.size() > kNamedMountsMax) {
    text += " and " + std::to_string(mounts.size() - kNamedMountsMax) + " more";
  }
  return text;
}

}  // namespace ckptfs
