#include "backend/compare/comparison.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <deque>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "backend/base/error.h"
#include "backend/compare/tree_comparison.h"

namespace ckptfs {
namespace {

[[noreturn]] void ThrowMistaken(const std::string& path) {
  throw Error(EBADMSG, "compare two volumes by btrfs's send",
              fmt::format("what it says about {:?} is not what is there", path));
}

// Which of the paths are that of the private directory, or below.
std::vector<bool> PrivatePaths(const PathTree& paths) {
  std::vector<bool> is_private(paths.size(), false);
  for (uint32_t i = 1; i < paths.size(); ++i) {
    const PathId directory = paths.DirectoryOf(PathId{i});
    is_private[i] = directory == kRootPath ? paths.NameOf(PathId{i}) == kPrivateDirectoryName
                                           : is_private[static_cast<size_t>(directory)];
  }
  return is_private;
}

// As if the private directory were in neither volume. Before anything is concluded from the names:
// a file that another replaced while it was open is then no renamed one beside a new one, but what
// it would be had it gone at once.
void TakeOutPrivateNames(NameChanges& names, const PathTree& paths) {
  const std::vector<bool> is_private = PrivatePaths(paths);
  const auto is_one = [&is_private](PathId path) {
    return path != kNoPath && is_private[static_cast<size_t>(path)];
  };
  std::erase_if(names.lost, is_one);
  std::erase_if(names.gained, [&](const GainedName& name) { return is_one(name.path); });
  for (GainedName& name : names.gained) {
    if (is_one(name.moved_from)) name.moved_from = kNoPath;
  }
  std::erase_if(names.touched, [&](const TouchedFile& file) { return is_one(file.new_path); });
}

// Turns names lost and gained into changes. Looks at every file concerned in the volume concerned,
// so that a wrong claim about what is where comes out as Error. For one thread, one use.
class Comparison {
 public:
  Comparison(const VolumeFiles& older, const VolumeFiles& newer, NameChanges names, Extent extent)
      : older_(older),
        newer_(newer),
        names_(std::move(names)),
        paths_(*names_.paths),
        extent_(extent),
        changes_(std::move(names_.paths)),
        held_(changes_.paths().limits()) {}

  DiffList Run() {
    TakeOutPrivateNames(names_, paths_);
    LoadStatus();
    DropNamesMadeAnew();
    PairRenames();
    try {
      Resolve();
      for (const Lost& lost : lost_) {
        if (!lost.is_left) Report(DiffKind::kRemoved, lost.path, lost.identity);
      }
      ReportTouchedFiles();
    } catch (const FirstFound&) {
      return std::move(changes_);
    }
    Clear();
    changes_.Sort();
    return std::move(changes_);
  }

 private:
  struct FirstFound {};

  struct Lost {
    PathId path;
    FileIdentity identity;
    bool is_left = false;  // a rename or a replacement accounts for it
  };
  struct Gained {
    GainedName name;
    FileIdentity identity;
    // What became of its place: the older file that it continues, if any.
    PathId old_path = kNoPath;
    bool is_renamed = false;
  };
  // A file with several names, by one of them.
  struct Linked {
    uint64_t inode;
    TouchedFile file;
  };

  // By path. Null: there is none.
  template <typename List>
  static auto* Find(List& list, PathId path) {
    const auto found =
        std::lower_bound(list.begin(), list.end(), path,
                         [](const auto& one, PathId wanted) { return PathOf(one) < wanted; });
    return found != list.end() && PathOf(*found) == path ? &*found : nullptr;
  }
  static PathId PathOf(const Lost& lost) { return lost.path; }
  static PathId PathOf(const Gained& gained) { return gained.name.path; }

  void LoadStatus() {
    for (const PathId path : names_.lost) {
      held_.Add(sizeof(Lost));
      lost_.push_back({.path = path, .identity = older_.Status(paths_.Text(path)).identity});
    }
    for (const GainedName& name : names_.gained) {
      held_.Add(sizeof(Gained));
      gained_.push_back({.name = name, .identity = newer_.Status(paths_.Text(name.path)).identity});
    }
    SortByPath(lost_);
    SortByPath(gained_);
    std::deque<PathId>().swap(names_.lost);
    std::deque<GainedName>().swap(names_.gained);
    if (names_.from_send) CheckStream();
  }

  template <typename List>
  static void SortByPath(List& list) {
    std::sort(list.begin(), list.end(),
              [](const auto& a, const auto& b) { return PathOf(a) < PathOf(b); });
  }

  // What the stream says is where must be there.
  void CheckStream() {
    for (const Gained& gained : gained_) {
      const GainedName& name = gained.name;
      if (name.moved_from != kNoPath) CheckMove(gained);
      // Where the older volume had something it must have been lost first.
      if (name.place != kNoPath && Find(lost_, name.place) == nullptr &&
          older_.Has(paths_.Text(name.place))) {
        ThrowMistaken(paths_.Text(name.path));
      }
    }
    CheckTypes();
  }

  // A stream takes files for the same that share inode number and generation. Where histories
  // have parted these may be two. A directory is then listed wrongly, because its entries were
  // compared with another's.
  void CheckMove(const Gained& gained) {
    const Lost* known = Find(lost_, gained.name.moved_from);
    if (known == nullptr || (S_ISDIR(gained.identity.type) && gained.identity != known->identity)) {
      ThrowMistaken(paths_.Text(gained.name.path));
    }
  }

  // If the two are not even of one type, what the stream says of them makes no sense.
  void CheckTypes() {
    struct Typed {
      uint64_t inode;
      uint32_t generation;
      uint32_t type;
      PathId path;
      bool operator<(const Typed& other) const {
        return std::tie(inode, generation) < std::tie(other.inode, other.generation);
      }
    };
    HeldBytes held(held_.limits());
    held.Add((lost_.size() + gained_.size()) * sizeof(Typed));
    std::vector<Typed> types;
    types.reserve(lost_.size() + gained_.size());
    const auto add = [&types](PathId path, const FileIdentity& identity) {
      types.push_back({identity.inode, identity.generation, identity.type, path});
    };
    for (const Lost& lost : lost_) add(lost.path, lost.identity);
    for (const Gained& gained : gained_) add(gained.name.path, gained.identity);
    std::sort(types.begin(), types.end());
    for (size_t i = 1; i < types.size(); ++i) {
      const bool is_one_file = !(types[i - 1] < types[i]);
      if (is_one_file && types[i - 1].type != types[i].type) {
        ThrowMistaken(paths_.Text(types[i].path));
      }
    }
  }

  // A stream may unlink a name and link the same file there again.
  void DropNamesMadeAnew() {
    std::erase_if(gained_, [this](const Gained& gained) {
      Lost* was = gained.name.place == kNoPath ? nullptr : Find(lost_, gained.name.place);
      if (was == nullptr || was->is_left || was->identity != gained.identity) return false;
      was->is_left = true;
      return true;
    });
    std::erase_if(lost_, [](const Lost& lost) { return lost.is_left; });
  }

  // The numbers of a list's elements, sorted by identity.
  template <typename List>
  std::vector<uint32_t> ByIdentity(const List& list) {
    held_.Add(list.size() * sizeof(uint32_t));
    std::vector<uint32_t> order(list.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(),
              [&list](uint32_t a, uint32_t b) { return list[a].identity < list[b].identity; });
    return order;
  }

  // A file that lost one name and gained one has been renamed.
  void PairRenames() {
    const std::vector<uint32_t> lost = ByIdentity(lost_);
    const std::vector<uint32_t> gained = ByIdentity(gained_);
    const auto end_of = [](const auto& order, const auto& list, size_t at) {
      size_t end = at + 1;
      while (end < order.size() && list[order[end]].identity == list[order[at]].identity) ++end;
      return end;
    };
    size_t i = 0;
    size_t j = 0;
    while (i < lost.size() && j < gained.size()) {
      Lost& was = lost_[lost[i]];
      Gained& is = gained_[gained[j]];
      const size_t i_end = end_of(lost, lost_, i);
      const size_t j_end = end_of(gained, gained_, j);
      if (was.identity < is.identity) {
        i = i_end;
      } else if (is.identity < was.identity) {
        j = j_end;
      } else {
        if (i_end - i == 1 && j_end - j == 1) PairRename(was, is);
        i = i_end;
        j = j_end;
      }
    }
  }

  void PairRename(Lost& was, Gained& is) {
    was.is_left = true;
    is.old_path = was.path;
    is.is_renamed = true;
    // A walk has compared the directories that are in both volumes, wherever they are.
    const bool is_known = names_.from_send || S_ISDIR(is.identity.type);
    if (!is_known) names_.AddTouched({was.path, is.name.path, true});
  }

  // The path in the older volume that a gained name would have to continue to be no new one. In a
  // directory that replaced another, that is the path below the other. A path that nothing has in the older
  // volume need not be known: kNoPath.
  PathId OldPlace(const GainedName& name) {
    if (name.place != kNoPath || name.path == kRootPath) return name.place;
    const Gained* directory = Find(gained_, paths_.DirectoryOf(name.path));
    if (directory == nullptr || directory->old_path == kNoPath) return kNoPath;
    return paths_.FindChild(directory->old_path, paths_.NameOf(name.path));
  }

  void Resolve() {
    // Directories before what is in them, as they have smaller numbers.
    for (Gained& gained : gained_) Resolve(gained);
  }

  void Resolve(Gained& gained) {
    const PathId path = gained.name.path;
    const PathId place = OldPlace(gained.name);
    if (gained.is_renamed) {
      // If the directory was made anew and this was moved back into it, its path is what it was.
      if (gained.old_path != place) {
        Report(DiffKind::kRenamed, path, gained.identity, gained.old_path);
      }
      return;
    }
    Lost* was = place == kNoPath ? nullptr : Find(lost_, place);
    if (was == nullptr || was->is_left || was->identity.type != gained.identity.type) {
      Report(DiffKind::kAdded, path, gained.identity);
      return;
    }
    was->is_left = true;
    gained.old_path = place;
    const std::string old_text = paths_.Text(place);
    const std::string text = paths_.Text(path);
    if (FilesDiffer({older_, old_text, older_.Status(old_text)},
                    {newer_, text, newer_.Status(text)}, true)) {
      Report(DiffKind::kModified, path, gained.identity);
    }
  }

  void ReportTouchedFiles() {
    std::deque<Linked> linked;
    for (const TouchedFile& touched : names_.touched) {
      const FileStatus is = newer_.Status(paths_.Text(touched.new_path));
      if (is.IsDirectory() || is.links <= 1) {
        ReportTouchedFile(touched, is);  // which is named once
        continue;
      }
      // It may be named several times, by each of its links.
      held_.Add(sizeof(Linked));
      linked.push_back({is.identity.inode, touched});
    }
    std::stable_sort(linked.begin(), linked.end(),
                     [](const Linked& a, const Linked& b) { return a.inode < b.inode; });
    for (size_t i = 0; i < linked.size();) {
      TouchedFile file = linked[i].file;
      const uint64_t inode = linked[i].inode;
      for (; i < linked.size() && linked[i].inode == inode; ++i) {
        file.contents |= linked[i].file.contents;
      }
      ReportTouchedFile(file, newer_.Status(paths_.Text(file.new_path)));
    }
  }

  void ReportTouchedFile(const TouchedFile& file, const FileStatus& is) {
    const std::string old_text = paths_.Text(file.old_path);
    const std::string text = paths_.Text(file.new_path);
    const FileStatus was = older_.Status(old_text);
    if (was.identity.inode != is.identity.inode || was.identity.type != is.identity.type ||
        (was.identity.generation != is.identity.generation && file.new_path != kRootPath)) {
      ThrowMistaken(text);
    }
    if (!FilesDiffer({older_, old_text, was}, {newer_, text, is}, file.contents)) return;
    if (is.IsDirectory() || is.links <= 1) return ReportModified(file.new_path, is);
    newer_.ForEachPathOf(is.identity.inode, [&](const std::string& path) {
      ReportModified(Intern(path), is);
      return true;
    });
  }

  // Of a name that is itself a change, only a rename leaves something to be said.
  void ReportModified(PathId path, const FileStatus& is) {
    const Gained* gained = Find(gained_, path);
    if (gained == nullptr || gained->is_renamed) {
      Report(DiffKind::kModified, path, is.identity);
    }
  }

  PathId Intern(std::string_view path) {
    PathId at = kRootPath;
    while (!path.empty()) {
      const std::string_view name = path.substr(0, path.find('/'));
      at = paths_.Child(at, name);
      path.remove_prefix(std::min(path.size(), name.size() + 1));
    }
    return at;
  }

  void Report(DiffKind kind, PathId path, const FileIdentity& identity, PathId old_path = kNoPath) {
    changes_.Add(kind, path, old_path, S_ISDIR(identity.type));
    if (extent_ == Extent::kFirst) throw FirstFound();
  }

  // What is not needed for the list.
  void Clear() {
    std::deque<Lost>().swap(lost_);
    std::deque<Gained>().swap(gained_);
    std::deque<TouchedFile>().swap(names_.touched);
    names_.held.Clear();
    held_.Clear();
  }

  const VolumeFiles& older_;
  const VolumeFiles& newer_;
  NameChanges names_;
  PathTree& paths_;
  const Extent extent_;
  DiffList changes_;  // has the paths
  HeldBytes held_;
  std::deque<Lost> lost_;      // by path
  std::deque<Gained> gained_;  // by path
};

}  // namespace

bool IsPrivatePath(std::string_view path) {
  constexpr std::string_view kName = kPrivateDirectoryName;
  return path.starts_with(kName) && (path.size() == kName.size() || path[kName.size()] == '/');
}

DiffList ChangesFromNames(const VolumeFiles& older, const VolumeFiles& newer, NameChanges names,
                          Extent extent) {
  return Comparison(older, newer, std::move(names), extent).Run();
}

DiffList ChangesByWalking(const VolumeFiles& older, const VolumeFiles& newer, Extent extent) {
  return ChangesFromNames(older, newer, CompareByWalking(older, newer), extent);
}

}  // namespace ckptfs
