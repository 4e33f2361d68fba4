#include "backend/compare/tree_walk.h"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/compare/comparison.h"

namespace ckptfs {
namespace {

class TreeWalk {
 public:
  TreeWalk(const VolumeFiles& older, const VolumeFiles& newer) : older_(older), newer_(newer) {}

  NameChanges Run() {
    FindOlderDirectories();
    WalkNewer();
    // Of a directory that the newer volume does not have, every name is lost.
    for (const auto& [identity, path] : older_directories_) {
      for (const DirectoryEntry& entry : older_.List(path)) Lose(JoinPath(path, entry.name));
    }
    return std::move(changes_);
  }

 private:
  // Directories are matched first, wherever they are, because a name is an entry in a directory
  // and not a path.
  void FindOlderDirectories() {
    std::vector<std::string> pending{""};
    while (!pending.empty()) {
      const std::string path = std::move(pending.back());
      pending.pop_back();
      const FileStatus status = older_.Status(path);
      if (status.foreign) continue;
      for (const DirectoryEntry& entry : older_.List(path)) {
        if (entry.is_directory) pending.push_back(JoinPath(path, entry.name));
      }
      older_directories_.emplace(status.identity, path);
      if (path.empty()) older_root_ = status.identity;
    }
  }

  void WalkNewer() {
    std::vector<std::string> pending{""};
    while (!pending.empty()) {
      const std::string path = std::move(pending.back());
      pending.pop_back();
      const FileStatus status = newer_.Status(path);
      if (status.foreign) continue;
      const std::vector<DirectoryEntry> entries = newer_.List(path);
      for (const DirectoryEntry& entry : entries) {
        if (entry.is_directory) pending.push_back(JoinPath(path, entry.name));
      }
      // The two roots stand for each other even if the volumes have nothing in common.
      const auto counterpart =
          older_directories_.find(path.empty() ? older_root_ : status.identity);
      if (counterpart == older_directories_.end()) {
        for (const DirectoryEntry& entry : entries) Gain(JoinPath(path, entry.name), {});
        continue;
      }
      const std::string& old_path = counterpart->second;
      Compare(old_path, older_.Status(old_path), path, status);
      MergeEntries(old_path, path, entries);
      older_directories_.erase(counterpart);
    }
  }

  // Compares the names in one directory, which may have another path in each volume.
  void MergeEntries(const std::string& old_path, const std::string& new_path,
                    const std::vector<DirectoryEntry>& new_entries) {
    const std::vector<DirectoryEntry> old_entries = older_.List(old_path);
    auto was = old_entries.begin();
    for (const DirectoryEntry& entry : new_entries) {
      for (; was != old_entries.end() && was->name < entry.name; ++was) {
        Lose(JoinPath(old_path, was->name));
      }
      const std::string old_name = JoinPath(old_path, entry.name);
      const std::string new_name = JoinPath(new_path, entry.name);
      if (was == old_entries.end() || was->name != entry.name) {
        Gain(new_name, old_name);
      } else {
        MergeNames(old_name, new_name);
        ++was;
      }
    }
    for (; was != old_entries.end(); ++was) Lose(JoinPath(old_path, was->name));
  }

  // One entry of one directory that is in both volumes, perhaps for different files.
  void MergeNames(const std::string& old_name, const std::string& new_name) {
    const FileStatus was = older_.Status(old_name);
    const FileStatus is = newer_.Status(new_name);
    if (was.foreign && is.foreign) return;
    if (was.identity != is.identity || was.foreign || is.foreign) {
      Lose(old_name);
      Gain(new_name, old_name);
    } else if (!is.IsDirectory()) {
      Compare(old_name, was, new_name, is);
    }
  }

  // An equal ctime proves nothing: the clock that it is taken from ticks some hundred times a
  // second, and a change after the snapshot, or one on each side, may fall into one tick.
  void Compare(const std::string& old_path, const FileStatus& was, const std::string& new_path,
               const FileStatus& is) {
    if (FilesDiffer({older_, old_path, was}, {newer_, new_path, is}, true)) {
      changes_.touched.push_back({old_path, new_path, true});
    }
  }

  void Lose(const std::string& path) {
    if (!older_.Status(path).foreign) changes_.lost.insert(path);
  }

  void Gain(const std::string& path, std::optional<std::string> place) {
    if (newer_.Status(path).foreign) return;
    changes_.gained[path] = {.place = std::move(place), .moved_from = std::nullopt};
  }

  const VolumeFiles& older_;
  const VolumeFiles& newer_;
  std::map<FileIdentity, std::string> older_directories_;  // not yet met in the newer volume
  FileIdentity older_root_;
  NameChanges changes_;
};

// Those that are a part of the volume's tree.
std::vector<DirectoryEntry> EntriesOf(const VolumeFiles& files, const std::string& directory) {
  std::vector<DirectoryEntry> entries = files.List(directory);
  std::erase_if(entries, [&](const DirectoryEntry& entry) {
    return IsPrivatePath(JoinPath(directory, entry.name));
  });
  return entries;
}

}  // namespace

NameChanges CompareByWalking(const VolumeFiles& older, const VolumeFiles& newer) {
  return TreeWalk(older, newer).Run();
}

bool MayBeEqualByWalking(const VolumeFiles& older, const VolumeFiles& newer, size_t files_max) {
  size_t files = 0;
  std::vector<std::string> pending{""};
  while (!pending.empty()) {
    const std::string directory = std::move(pending.back());
    pending.pop_back();
    const std::vector<DirectoryEntry> was = EntriesOf(older, directory);
    const std::vector<DirectoryEntry> is = EntriesOf(newer, directory);
    files += is.size();
    if (was.size() != is.size() || files > files_max) return false;
    for (size_t i = 0; i < is.size(); ++i) {
      if (was[i].name != is[i].name) return false;
      std::string path = JoinPath(directory, is[i].name);
      const std::optional<FileStatus> old_status = older.Find(path);
      const std::optional<FileStatus> new_status = newer.Find(path);
      if (old_status.has_value() != new_status.has_value()) return false;
      if (!new_status) continue;
      if (StatusDiffers(*old_status, *new_status)) return false;
      if (new_status->IsDirectory()) pending.push_back(std::move(path));
    }
  }
  return true;
}

}  // namespace ckptfs
