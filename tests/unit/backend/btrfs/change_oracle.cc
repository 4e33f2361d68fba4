#include "tests/unit/backend/btrfs/change_oracle.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace ckptfs {
namespace {

// Inode number, generation, birth and type.
using Identity = std::tuple<uint64_t, uint32_t, int64_t, uint32_t>;

struct File {
  Identity identity;
  // Everything that counts as a modification, as text.
  std::map<std::string, std::string> attributes;
  bool IsDirectory() const { return S_ISDIR(std::get<3>(identity)); }
  bool operator==(const File&) const = default;
};

using Files = std::map<std::string, File>;  // by path

template <typename Result>
Result Must(Result result, const std::string& what) {
  if (result < 0) throw std::runtime_error(what + ": " + std::strerror(errno));
  return result;
}

std::string Under(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

void ReadXattrs(const std::string& proc_path, File* file) {
  std::string names(65536, '\0');
  names.resize(static_cast<size_t>(
      Must(listxattr(proc_path.c_str(), names.data(), names.size()), "listxattr")));
  for (size_t at = 0; at < names.size(); at += std::strlen(&names[at]) + 1) {
    std::string value(65536, '\0');
    value.resize(static_cast<size_t>(
        Must(getxattr(proc_path.c_str(), &names[at], value.data(), value.size()), "getxattr")));
    file->attributes[std::string("xattr ") + &names[at]] = value;
  }
}

void ReadContents(int fd, File* file) {
  std::string content;
  std::string block(65536, '\0');
  for (;;) {
    const auto got = static_cast<size_t>(Must(read(fd, block.data(), block.size()), "read"));
    if (got == 0) break;
    content.append(block, 0, got);
  }
  file->attributes["content"] = content;
}

File ReadFile(int directory_fd, const std::string& name) {
  const int fd =
      Must(openat(directory_fd, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC), "open " + name);
  const UniqueFd owner(fd);
  const std::string proc_path = fmt::format("/proc/self/fd/{}", fd);
  struct statx status = {};
  Must(statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &status), "statx");
  alignas(file_handle) char buffer[sizeof(file_handle) + MAX_HANDLE_SZ] = {};
  auto* handle = reinterpret_cast<file_handle*>(buffer);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  Must(name_to_handle_at(fd, "", handle, &mount, AT_EMPTY_PATH), "name_to_handle_at");
  uint32_t generation = 0;  // behind two numbers of 64 bits
  std::memcpy(&generation, buffer + sizeof(file_handle) + 16, sizeof generation);

  File file;
  file.identity = {status.stx_ino, generation,
                   status.stx_btime.tv_sec * 1'000'000'000LL + status.stx_btime.tv_nsec,
                   status.stx_mode & uint32_t{S_IFMT}};
  file.attributes["mode"] = fmt::format("{:o}", status.stx_mode & 07777u);
  file.attributes["owner"] = fmt::format("{}:{}", status.stx_uid, status.stx_gid);
  file.attributes["device"] = fmt::format("{}:{}", status.stx_rdev_major, status.stx_rdev_minor);
  ReadXattrs(proc_path, &file);
  if (S_ISLNK(status.stx_mode)) {
    std::string target(PATH_MAX, '\0');
    target.resize(
        static_cast<size_t>(Must(readlinkat(fd, "", target.data(), target.size()), "readlink")));
    file.attributes["target"] = target;
  }
  if (S_ISREG(status.stx_mode) || S_ISDIR(status.stx_mode)) {
    const UniqueFd open_file(Must(open(proc_path.c_str(), O_RDONLY | O_CLOEXEC), "open"));
    int flags = 0;
    Must(ioctl(open_file.get(), FS_IOC_GETFLAGS, &flags), "getflags");
    file.attributes["flags"] = fmt::format("{:x}", flags);
    if (S_ISREG(status.stx_mode)) {
      file.attributes["mtime"] =
          fmt::format("{}.{:09}", status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec);
      ReadContents(open_file.get(), &file);
    }
  }
  return file;
}

void ReadTree(int directory_fd, const std::string& path, Files* files) {
  const int fd = Must(openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open .");
  DIR* stream = fdopendir(fd);
  if (stream == nullptr) throw std::runtime_error("fdopendir");
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream)) names.emplace_back(entry->d_name);
  for (const std::string& name : names) {
    if (name == "." || name == "..") continue;
    const std::string child = Under(path, name);
    const File& file = files->emplace(child, ReadFile(fd, name)).first->second;
    if (!file.IsDirectory()) continue;
    const UniqueFd child_fd(
        Must(openat(fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open " + child));
    ReadTree(child_fd.get(), child, files);
  }
  closedir(stream);
}

Files ReadTree(int root_fd) {
  Files files;
  File root = ReadFile(root_fd, ".");
  root.identity = {256, 0, 0, S_IFDIR};  // the one root is the other's, whatever their past
  files.emplace("", std::move(root));
  ReadTree(root_fd, "", &files);
  return files;
}

// A name: the directory that it stands in, itself, and what it stands for.
using Name = std::tuple<Identity, std::string, Identity>;

std::map<Name, std::string> NamesIn(const Files& files) {
  std::map<Name, std::string> names;
  for (const auto& [path, file] : files) {
    if (path.empty()) continue;
    names[{files.at(DirectoryOf(path)).identity, NameOf(path), file.identity}] = path;
  }
  return names;
}

class Oracle {
 public:
  Oracle(int older_root_fd, int newer_root_fd)
      : older_(ReadTree(older_root_fd)), newer_(ReadTree(newer_root_fd)) {}

  std::vector<DiffEntry> Run() {
    const auto older_names = NamesIn(older_);
    const auto newer_names = NamesIn(newer_);
    std::map<Identity, std::pair<std::vector<std::string>, std::vector<std::string>>> moves;
    std::set<std::string> lost;
    for (const auto& [name, path] : older_names) {
      if (newer_names.contains(name)) continue;
      lost.insert(path);
      moves[std::get<2>(name)].first.push_back(path);
    }
    std::map<std::string, std::string> renames;  // new path to old
    for (const auto& [name, path] : newer_names) {
      const auto same = older_names.find(name);
      if (same != older_names.end()) {
        old_path_[path] = same->second;
      } else {
        moves[std::get<2>(name)].second.push_back(path);
      }
    }
    for (const auto& [identity, paths] : moves) {
      if (paths.first.size() != 1 || paths.second.size() != 1) continue;
      renames[paths.second.front()] = paths.first.front();
      lost.erase(paths.first.front());
    }
    std::vector<DiffEntry> changes;
    old_path_[""] = "";
    for (const auto& [path, file] : newer_) {  // parents first
      if (renames.contains(path)) {
        old_path_[path] = renames[path];
        const auto directory = old_path_.find(DirectoryOf(path));
        // Moved back into a directory made anew: at its old path.
        if (directory == old_path_.end() ||
            Under(directory->second, NameOf(path)) != renames[path]) {
          changes.push_back({DiffKind::kRenamed, path, renames[path], file.IsDirectory()});
        }
      } else if (!old_path_.contains(path)) {
        Place(path, file, &lost);
      }
      if (!old_path_.contains(path)) {
        changes.push_back({DiffKind::kAdded, path, "", file.IsDirectory()});
      } else if (older_.at(old_path_[path]).attributes != file.attributes) {
        changes.push_back({DiffKind::kModified, path, "", file.IsDirectory()});
      }
    }
    for (const std::string& path : lost) {
      changes.push_back({DiffKind::kRemoved, path, "", older_.at(path).IsDirectory()});
    }
    const auto key = [](const DiffEntry& change) {
      const std::string_view order = "-R+M";  // as the kinds are sorted for one path
      const char* letters = "+-MR";           // as they are declared
      return std::make_pair(change.path, order.find(letters[static_cast<int>(change.kind)]));
    };
    std::sort(changes.begin(), changes.end(),
              [&key](const DiffEntry& a, const DiffEntry& b) { return key(a) < key(b); });
    return changes;
  }

 private:
  // Another file of the same type where one was lost continues that one.
  void Place(const std::string& path, const File& file, std::set<std::string>* lost) {
    const auto directory = old_path_.find(DirectoryOf(path));
    if (directory == old_path_.end()) return;
    const std::string place = Under(directory->second, NameOf(path));
    if (!lost->contains(place)) return;
    if (std::get<3>(older_.at(place).identity) != std::get<3>(file.identity)) return;
    lost->erase(place);
    old_path_[path] = place;
  }

  Files older_;
  Files newer_;
  std::map<std::string, std::string> old_path_;  // by new path, for what is no addition
};

// Where a path of the older tree is once all renames are done: the nearest ancestor that was
// renamed takes it along.
std::string AfterRenames(const std::string& path,
                         const std::map<std::string, std::string>& renames) {
  for (std::string head = path;; head = DirectoryOf(head)) {
    const auto rename = renames.find(head);
    if (rename != renames.end()) return rename->second + path.substr(head.size());
    if (head.empty()) return path;
  }
}

}  // namespace

std::vector<DiffEntry> ExpectedChanges(int older_root_fd, int newer_root_fd) {
  return Oracle(older_root_fd, newer_root_fd).Run();
}

std::string CheckOutcome(int older_root_fd, int newer_root_fd,
                         const std::vector<DiffEntry>& changes) {
  Files older = ReadTree(older_root_fd);
  const Files newer = ReadTree(newer_root_fd);
  std::map<std::string, std::string> renames;
  std::set<std::string> modified;
  for (const DiffEntry& change : changes) {
    if (change.kind == DiffKind::kRemoved && older.erase(change.path) == 0) {
      return "removed, but was not there: " + change.path;
    }
    if (change.kind == DiffKind::kRenamed) renames[change.old_path] = change.path;
    if (change.kind == DiffKind::kModified) modified.insert(change.path);
  }
  Files outcome;
  for (auto& [path, file] : older) {
    const std::string now = AfterRenames(path, renames);
    if (!outcome.emplace(now, file).second) return "two files came to be at " + now;
  }
  for (const DiffEntry& change : changes) {
    if (change.kind != DiffKind::kAdded) continue;
    if (!newer.contains(change.path)) return "added, but is not there: " + change.path;
    if (!outcome.emplace(change.path, newer.at(change.path)).second) {
      return "added, but was there: " + change.path;
    }
  }
  for (const auto& [path, file] : newer) {
    const auto made = outcome.find(path);
    if (made == outcome.end()) return "missing: " + path;
    const bool differs = made->second.attributes != file.attributes;
    if (differs != modified.contains(path)) {
      return (differs ? "differs, but is not listed: " : "listed, but does not differ: ") + path;
    }
    outcome.erase(made);
  }
  return outcome.empty() ? "" : "left over: " + outcome.begin()->first;
}

std::vector<std::string> Lines(const std::vector<DiffEntry>& changes) {
  std::vector<std::string> lines;
  for (const DiffEntry& change : changes) {
    const char* slash = change.is_directory ? "/" : "";
    if (change.kind == DiffKind::kRenamed) {
      lines.push_back(fmt::format("R {}{} -> {}{}", change.old_path, slash, change.path, slash));
    } else {
      lines.push_back(
          fmt::format("{} {}{}", "+-M"[static_cast<int>(change.kind)], change.path, slash));
    }
  }
  return lines;
}

}  // namespace ckptfs
