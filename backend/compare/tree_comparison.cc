#include "backend/compare/tree_comparison.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/interface/backend.h"

namespace ckptfs {
namespace {

class TreeWalk {
 public:
  TreeWalk(const VolumeFiles& older, const VolumeFiles& newer)
      : older_(older), newer_(newer), held_(newer.limits()), changes_(newer.limits()) {}

  NameChanges Run() {
    FindOlderDirectories();
    WalkNewer();
    // Of a directory that the newer volume does not have, every name is lost.
    for (const auto& [identity, path] : older_directories_) {
      const DirectoryList entries = older_.List(paths_.Text(path));
      for (size_t i = 0; i < entries.size(); ++i) Lose(paths_.Child(path, entries[i].name));
    }
    return std::move(changes_);
  }

 private:
  // Directories are matched first, wherever they are, because a name is an entry in a directory
  // and not a path.
  void FindOlderDirectories() {
    std::vector<PathId> pending{kRootPath};
    while (!pending.empty()) {
      const PathId path = pending.back();
      pending.pop_back();
      const std::string text = paths_.Text(path);
      const FileStatus status = older_.Status(text);
      if (status.foreign) continue;
      AddDirectories(path, older_.List(text), pending);
      held_.Add(kDirectoryBytes);
      older_directories_.emplace(status.identity, path);
      if (path == kRootPath) older_root_ = status.identity;
    }
  }

  void AddDirectories(PathId path, const DirectoryList& entries, std::vector<PathId>& pending) {
    for (size_t i = 0; i < entries.size(); ++i) {
      if (entries[i].is_directory) pending.push_back(paths_.Child(path, entries[i].name));
    }
  }

  void WalkNewer() {
    std::vector<PathId> pending{kRootPath};
    while (!pending.empty()) {
      const PathId path = pending.back();
      pending.pop_back();
      const std::string text = paths_.Text(path);
      const FileStatus status = newer_.Status(text);
      if (status.foreign) continue;
      const DirectoryList entries = newer_.List(text);
      AddDirectories(path, entries, pending);
      // The two roots stand for each other even if the volumes have nothing in common.
      const auto counterpart =
          older_directories_.find(path == kRootPath ? older_root_ : status.identity);
      if (counterpart == older_directories_.end()) {
        for (size_t i = 0; i < entries.size(); ++i) {
          Gain(paths_.Child(path, entries[i].name), kNoPath);
        }
        continue;
      }
      const PathId old_path = counterpart->second;
      const std::string old_text = paths_.Text(old_path);
      Compare({old_path, old_text, older_.Status(old_text)}, {path, text, status});
      MergeEntries(old_path, path, entries);
      older_directories_.erase(counterpart);
    }
  }

  // A name in one of the volumes, with what is there.
  struct Found {
    PathId path;
    const std::string& text;
    const FileStatus& status;
  };

  // Compares the names in one directory, which may have another path in each volume.
  void MergeEntries(PathId old_path, PathId new_path, const DirectoryList& new_entries) {
    const std::string old_text = paths_.Text(old_path);
    const std::string new_text = paths_.Text(new_path);
    const DirectoryList old_entries = older_.List(old_text);
    size_t was = 0;
    for (size_t is = 0; is < new_entries.size(); ++is) {
      const std::string_view name = new_entries[is].name;
      for (; was < old_entries.size() && old_entries[was].name < name; ++was) {
        Lose(paths_.Child(old_path, old_entries[was].name));
      }
      if (was == old_entries.size() || old_entries[was].name != name) {
        Gain(paths_.Child(new_path, name), paths_.Child(old_path, name));
      } else {
        const Directories directories{old_path, old_text, new_path, new_text};
        MergeNames(directories, name);
        ++was;
      }
    }
    for (; was < old_entries.size(); ++was) Lose(paths_.Child(old_path, old_entries[was].name));
  }

  // One directory that is in both volumes.
  struct Directories {
    PathId old_path;
    const std::string& old_text;
    PathId new_path;
    const std::string& new_text;
  };

  // One entry of one directory that is in both volumes, perhaps for different files. Its paths are kept only if
  // there is something to be said of them.
  void MergeNames(const Directories& directories, std::string_view name) {
    const std::string old_text = JoinPath(directories.old_text, name);
    const std::string new_text = JoinPath(directories.new_text, name);
    const FileStatus was = older_.Status(old_text);
    const FileStatus is = newer_.Status(new_text);
    if (was.foreign && is.foreign) return;
    const bool is_same = was.identity == is.identity && !was.foreign && !is.foreign;
    if (is_same && is.IsDirectory()) return;
    if (is_same && !FilesDiffer({older_, old_text, was}, {newer_, new_text, is}, true)) return;
    const PathId old_path = paths_.Child(directories.old_path, name);
    const PathId new_path = paths_.Child(directories.new_path, name);
    if (is_same) {
      changes_.AddTouched({old_path, new_path, true});
    } else {
      Lose(old_path);
      Gain(new_path, old_path);
    }
  }

  // An equal ctime proves nothing: the clock that it is taken from ticks some hundred times a
  // second, and a change after the snapshot, or one on each side, may fall into one tick.
  void Compare(const Found& was, const Found& is) {
    if (FilesDiffer({older_, was.text, was.status}, {newer_, is.text, is.status}, true)) {
      changes_.AddTouched({was.path, is.path, true});
    }
  }

  void Lose(PathId path) {
    if (!older_.Status(paths_.Text(path)).foreign) changes_.AddLost(path);
  }

  void Gain(PathId path, PathId place) {
    if (newer_.Status(paths_.Text(path)).foreign) return;
    changes_.AddGained({.path = path, .place = place});
  }

  // Of one in the map, as it is allocated.
  static constexpr size_t kDirectoryBytes = 80;

  const VolumeFiles& older_;
  const VolumeFiles& newer_;
  HeldBytes held_;
  NameChanges changes_;
  PathTree& paths_ = *changes_.paths;
  std::map<FileIdentity, PathId> older_directories_;  // not yet met in the newer volume
  FileIdentity older_root_;
};

// Those that are a part of the volume's tree.
DirectoryList EntriesOf(const VolumeFiles& files, const std::string& directory) {
  DirectoryList entries = files.List(directory);
  if (directory.empty()) entries.Remove(kPrivateDirectoryName);
  return entries;
}

}  // namespace

NameChanges CompareByWalking(const VolumeFiles& older, const VolumeFiles& newer) {
  return TreeWalk(older, newer).Run();
}

bool MayBeEqualByWalking(const VolumeFiles& older, const VolumeFiles& newer, size_t files_max) {
  size_t files = 0;
  PathTree paths(newer.limits());
  std::vector<PathId> pending{kRootPath};
  while (!pending.empty()) {
    const PathId directory_path = pending.back();
    pending.pop_back();
    const std::string directory = paths.Text(directory_path);
    const DirectoryList was = EntriesOf(older, directory);
    const DirectoryList is = EntriesOf(newer, directory);
    files += is.size();
    if (was.size() != is.size() || files > files_max) return false;
    for (size_t i = 0; i < is.size(); ++i) {
      if (was[i].name != is[i].name) return false;
      const std::string path = JoinPath(directory, is[i].name);
      const std::optional<FileStatus> old_status = older.Find(path);
      const std::optional<FileStatus> new_status = newer.Find(path);
      if (old_status.has_value() != new_status.has_value()) return false;
      if (!new_status) continue;
      if (StatusDiffers(*old_status, *new_status)) return false;
      if (new_status->IsDirectory()) pending.push_back(paths.Child(directory_path, is[i].name));
    }
  }
  return true;
}

}  // namespace ckptfs
