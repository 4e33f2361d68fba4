#include "backend/compare/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "backend/base/error.h"
#include "backend/compare/tree_walk.h"

namespace ckptfs {
namespace {

[[noreturn]] void ThrowMistaken(const std::string& path) {
  throw Error(EBADMSG, "compare two volumes by btrfs's send",
              fmt::format("what it says about {:?} is not what is there", path));
}

// As if the private directory were in neither volume. Before anything is concluded from the names:
// a file that another replaced while it was open is then no renamed one beside a new one, but what
// it would be had it gone at once.
NameChanges WithoutPrivateNames(NameChanges names) {
  std::erase_if(names.lost, IsPrivatePath);
  std::erase_if(names.gained, [](const auto& name) { return IsPrivatePath(name.first); });
  for (auto& [path, name] : names.gained) {
    if (name.moved_from && IsPrivatePath(*name.moved_from)) name.moved_from.reset();
  }
  std::erase_if(names.touched,
                [](const TouchedFile& file) { return IsPrivatePath(file.new_path); });
  return names;
}

// Turns names lost and gained into changes. Looks at every file concerned in the volume concerned,
// so that a wrong claim about what is where comes out as Error. For one thread, one use.
class Comparison {
 public:
  Comparison(const VolumeFiles& older, const VolumeFiles& newer, NameChanges names)
      : older_(older), newer_(newer), names_(WithoutPrivateNames(std::move(names))) {}

  std::vector<Change> Run() {
    LoadStatus();
    DropNamesMadeAnew();
    PairRenames();
    for (const auto& [path, gained] : names_.gained) Resolve(path, gained);
    for (const std::string& path : names_.lost) {
      if (!left_.contains(path)) Report(ChangeKind::kRemoved, path, lost_.at(path));
    }
    ReportTouchedFiles();
    Sort();
    return std::move(changes_);
  }

 private:
  // What became of a gained name's place: the older file that it continues, if any.
  struct Resolution {
    std::optional<std::string> old_path;
    bool renamed = false;
  };

  void LoadStatus() {
    for (const std::string& path : names_.lost) lost_.emplace(path, older_.Status(path));
    for (const auto& [path, name] : names_.gained) {
      const FileStatus& is = gained_.emplace(path, newer_.Status(path)).first->second;
      if (name.moved_from) CheckMove(path, *name.moved_from, is);
      // Where the older volume had something it must have been lost first.
      if (names_.from_send && name.place && !lost_.contains(*name.place) &&
          older_.Has(*name.place)) {
        ThrowMistaken(path);
      }
    }
    if (names_.from_send) CheckTypes();
  }

  // A stream takes files for the same that share inode number and generation. Where histories
  // have parted these may be two. A directory is then listed wrongly, because its entries were
  // compared with another's.
  void CheckMove(const std::string& path, const std::string& old_path, const FileStatus& is) {
    const auto known = lost_.find(old_path);
    if (known == lost_.end()) ThrowMistaken(path);
    if (is.IsDirectory() && is.identity != known->second.identity) ThrowMistaken(path);
  }

  // If the two are not even of one type, what the stream says of them makes no sense.
  void CheckTypes() {
    std::map<std::pair<uint64_t, uint32_t>, uint32_t> types;
    const auto check = [&types](const std::string& path, const FileIdentity& identity) {
      const auto [known, is_new] =
          types.try_emplace({identity.inode, identity.generation}, identity.type);
      if (!is_new && known->second != identity.type) ThrowMistaken(path);
    };
    for (const auto& [path, status] : lost_) check(path, status.identity);
    for (const auto& [path, status] : gained_) check(path, status.identity);
  }

  // A stream may unlink a name and link the same file there again.
  void DropNamesMadeAnew() {
    for (auto name = names_.gained.begin(); name != names_.gained.end();) {
      const std::optional<std::string>& place = name->second.place;
      const auto was = place ? lost_.find(*place) : lost_.end();
      if (was != lost_.end() && was->second.identity == gained_.at(name->first).identity) {
        names_.lost.erase(was->first);
        lost_.erase(was);
        gained_.erase(name->first);
        name = names_.gained.erase(name);
      } else {
        ++name;
      }
    }
  }

  void PairRenames() {
    struct Names {
      std::vector<const std::string*> lost, gained;
    };
    std::map<FileIdentity, Names> files;
    for (const auto& [path, status] : lost_) files[status.identity].lost.push_back(&path);
    for (const auto& [path, status] : gained_) files[status.identity].gained.push_back(&path);
    for (const auto& [identity, names] : files) {
      if (names.lost.size() != 1 || names.gained.size() != 1) continue;
      const std::string& old_path = *names.lost.front();
      const std::string& path = *names.gained.front();
      resolutions_[path] = {.old_path = old_path, .renamed = true};
      left_.insert(old_path);
      if (!names_.from_send) names_.touched.push_back({old_path, path, true});
    }
  }

  // The path in the older volume that a gained name would have to continue to be no new one. In a
  // directory that replaced another, that is the path below the other.
  std::optional<std::string> OldPlace(const std::string& path, const GainedName& name) const {
    if (name.place) return name.place;
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return std::nullopt;
    const auto directory = resolutions_.find(path.substr(0, slash));
    if (directory == resolutions_.end() || !directory->second.old_path) return std::nullopt;
    return JoinPath(*directory->second.old_path, path.substr(slash + 1));
  }

  // Parents come before their children, as paths are sorted.
  void Resolve(const std::string& path, const GainedName& name) {
    const FileStatus& is = gained_.at(path);
    const std::optional<std::string> place = OldPlace(path, name);
    const auto rename = resolutions_.find(path);
    if (rename != resolutions_.end()) {
      // If the directory was made anew and this was moved back into it, its path is what it was.
      if (rename->second.old_path != place) {
        Report(ChangeKind::kRenamed, path, is, *rename->second.old_path);
      }
      return;
    }
    const auto was = place && !left_.contains(*place) ? lost_.find(*place) : lost_.end();
    if (was == lost_.end() || was->second.identity.type != is.identity.type) {
      Report(ChangeKind::kAdded, path, is);
      return;
    }
    left_.insert(*place);
    resolutions_[path] = {.old_path = place, .renamed = false};
    if (FilesDiffer({older_, *place, was->second}, {newer_, path, is}, true)) {
      Report(ChangeKind::kModified, path, is);
    }
  }

  void ReportTouchedFiles() {
    // A file may be named several times, by each of its links.
    std::map<uint64_t, TouchedFile> files;
    std::map<uint64_t, FileStatus> statuses;
    for (const TouchedFile& touched : names_.touched) {
      const FileStatus is = newer_.Status(touched.new_path);
      TouchedFile& file = files.try_emplace(is.identity.inode, touched).first->second;
      file.contents |= touched.contents;
      statuses.emplace(is.identity.inode, is);
    }
    for (const auto& [inode, file] : files) ReportTouchedFile(file, statuses.at(inode));
  }

  void ReportTouchedFile(const TouchedFile& file, const FileStatus& is) {
    const FileStatus was = older_.Status(file.old_path);
    if (was.identity.inode != is.identity.inode || was.identity.type != is.identity.type ||
        (was.identity.generation != is.identity.generation && !file.new_path.empty())) {
      ThrowMistaken(file.new_path);
    }
    if (!FilesDiffer({older_, file.old_path, was}, {newer_, file.new_path, is}, file.contents)) {
      return;
    }
    std::vector<std::string> paths{file.new_path};
    if (!is.IsDirectory() && is.links > 1) paths = newer_.PathsOf(is.identity.inode);
    for (const std::string& path : paths) {
      // Of a name that is itself a change, only a rename leaves something to be said.
      const auto resolution = resolutions_.find(path);
      const bool renamed = resolution != resolutions_.end() && resolution->second.renamed;
      if (renamed || !gained_.contains(path)) Report(ChangeKind::kModified, path, is);
    }
  }

  void Report(ChangeKind kind, const std::string& path, const FileStatus& status,
              const std::string& old_path = {}) {
    changes_.push_back({kind, path, old_path, status.IsDirectory()});
  }

  void Sort() {
    const auto step = [](ChangeKind kind) {
      switch (kind) {
        case ChangeKind::kRemoved:
          return 0;
        case ChangeKind::kRenamed:
          return 1;
        case ChangeKind::kAdded:
          return 2;
        case ChangeKind::kModified:
          break;
      }
      return 3;
    };
    std::sort(changes_.begin(), changes_.end(), [&step](const Change& a, const Change& b) {
      return std::make_tuple(std::cref(a.path), step(a.kind)) <
             std::make_tuple(std::cref(b.path), step(b.kind));
    });
  }

  const VolumeFiles& older_;
  const VolumeFiles& newer_;
  NameChanges names_;
  std::map<std::string, FileStatus> lost_;    // by path in the older volume
  std::map<std::string, FileStatus> gained_;  // by path in the newer
  std::map<std::string, Resolution> resolutions_;
  std::set<std::string> left_;  // lost paths that a rename or a replacement accounts for
  std::vector<Change> changes_;
};

}  // namespace

bool IsPrivatePath(std::string_view path) {
  constexpr std::string_view kName = kPrivateDirectoryName;
  return path.starts_with(kName) && (path.size() == kName.size() || path[kName.size()] == '/');
}

std::vector<Change> ChangesFromNames(const VolumeFiles& older, const VolumeFiles& newer,
                                     NameChanges names) {
  return Comparison(older, newer, std::move(names)).Run();
}

std::vector<Change> ChangesByWalking(const VolumeFiles& older, const VolumeFiles& newer) {
  return ChangesFromNames(older, newer, CompareByWalking(older, newer));
}

}  // namespace ckptfs
