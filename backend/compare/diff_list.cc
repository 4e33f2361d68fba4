#include "backend/compare/diff_list.h"

#include <algorithm>
#include <utility>

namespace ckptfs {
namespace {

// Of changes of one path.
int StepOf(DiffKind kind) {
  switch (kind) {
    case DiffKind::kRemoved:
      return 0;
    case DiffKind::kRenamed:
      return 1;
    case DiffKind::kAdded:
      return 2;
    case DiffKind::kModified:
      break;
  }
  return 3;
}

}  // namespace

DiffList::DiffList(WorkLimits& limits) : DiffList(std::make_unique<PathTree>(limits)) {}

DiffList::DiffList(std::unique_ptr<PathTree> paths)
    : paths_(std::move(paths)), limits_(&paths_->limits()), held_(*limits_) {}

void DiffList::Add(DiffKind kind, PathId path, PathId old_path, bool is_directory) {
  held_.Add(sizeof(Entry));
  changes_.push_back({path, old_path, kind, is_directory});
}

void DiffList::Sort() {
  const std::vector<uint32_t> ranks = paths_->Ranks();
  const auto place = [&ranks](const Entry& entry) {
    return std::pair(ranks[static_cast<size_t>(entry.path)], StepOf(entry.kind));
  };
  std::sort(changes_.begin(), changes_.end(),
            [&place](const Entry& a, const Entry& b) { return place(a) < place(b); });
}

void DiffList::Invert() {
  HeldBytes held(*limits_);
  held.Add(paths_->size() * sizeof(PathId));
  // For what was renamed, and what is below: the path before. Paths come after those that they are below.
  std::vector<PathId> before(paths_->size(), kNoPath);
  for (const Entry& entry : changes_) {
    if (entry.kind == DiffKind::kRenamed) before[static_cast<size_t>(entry.path)] = entry.old_path;
  }
  for (size_t i = 1; i < before.size(); ++i) {
    const PathId path{static_cast<uint32_t>(i)};
    const PathId above = before[static_cast<size_t>(paths_->DirectoryOf(path))];
    if (before[i] == kNoPath && above != kNoPath) {
      before[i] = paths_->Child(above, paths_->NameOf(path));
    }
  }
  for (Entry& entry : changes_) {
    const PathId was = before[static_cast<size_t>(entry.path)];
    if (entry.kind == DiffKind::kAdded) {
      entry.kind = DiffKind::kRemoved;
    } else if (entry.kind == DiffKind::kRemoved) {
      entry.kind = DiffKind::kAdded;
    } else if (entry.kind == DiffKind::kRenamed) {
      std::swap(entry.path, entry.old_path);
    } else if (was != kNoPath) {
      entry.path = was;
    }
  }
  const std::vector<uint32_t> ranks = paths_->Ranks();
  std::stable_sort(changes_.begin(), changes_.end(), [&ranks](const Entry& a, const Entry& b) {
    return ranks[static_cast<size_t>(a.path)] < ranks[static_cast<size_t>(b.path)];
  });
}

void DiffList::ForEach(const std::function<void(DiffEntry)>& visit) const {
  for (const Entry& entry : changes_) {
    limits_->RequireWanted();
    visit({.kind = entry.kind,
           .path = paths_->Text(entry.path),
           .old_path = entry.old_path == kNoPath ? std::string() : paths_->Text(entry.old_path),
           .is_directory = entry.is_directory});
  }
}

std::vector<DiffEntry> DiffList::All() const {
  std::vector<DiffEntry> changes;
  ForEach([&changes](DiffEntry change) { changes.push_back(std::move(change)); });
  return changes;
}

}  // namespace ckptfs
