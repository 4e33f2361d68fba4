#include "fs/foreign_mounts.h"

#include <libmount/libmount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <string_view>

#include "backend/base/error.h"
#include "fs/holders.h"

namespace ckptfs {
namespace {

constexpr size_t kNamedMountsMax = 10;
// Behind the root of a mount whose directory has no name at the moment.
constexpr std::string_view kDeleted = "//deleted";

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
  if (root.ends_with(kDeleted)) root.remove_suffix(kDeleted.size());
  return root == "/" ? std::string() : std::string(root);
}

// Where in the filesystem of `parent` something is mounted that has this target.
std::string PlaceIn(libmnt_fs* parent, std::string_view target) {
  std::string_view top = TextOf(mnt_fs_get_target(parent));
  if (top == "/") top = "";
  if (!IsAtOrBelow(target, top)) return {};  // out of the sight of that process
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

}  // namespace

ForeignMounts FindForeignMounts(dev_t device, const std::string& workspace) {
  ForeignMounts found;
  const std::string directory = "/" + workspace;
  std::set<std::string> seen = {""};
  std::vector<pid_t> processes = {getpid()};
  for (const pid_t process : AllProcesses()) processes.push_back(process);
  for (const pid_t process : processes) {
    if (!seen.insert(NamespaceOf(process)).second) continue;
    const std::string path = "/proc/" + std::to_string(process) + "/mountinfo";
    const Table table(mnt_new_table_from_file(path.c_str()), mnt_unref_table);
    if (!table) continue;  // it has ended
    Collect(table.get(), process == getpid() ? 0 : process, device, directory, found);
  }
  return found;
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
