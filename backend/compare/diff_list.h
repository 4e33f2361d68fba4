// The outcome of a comparison.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "backend/compare/path_tree.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// Changes, sorted by path (by bytes; for one path: removed, renamed, added, modified). Holds names, and not
// paths: a path is made when it is asked for. Lives no longer than the limits that it was made under.
//
// For one thread.
class DiffList {
 public:
  explicit DiffList(WorkLimits& limits);  // empty
  // Of paths of that tree.
  explicit DiffList(std::unique_ptr<PathTree> paths);
  ~DiffList() = default;
  DiffList(DiffList&&) noexcept = default;
  DiffList& operator=(DiffList&&) = delete;
  DiffList(const DiffList&) = delete;
  DiffList& operator=(const DiffList&) = delete;

  PathTree& paths() noexcept { return *paths_; }
  size_t size() const noexcept { return changes_.size(); }
  bool empty() const noexcept { return changes_.empty(); }

  // In any order; then Sort.
  void Add(DiffKind kind, PathId path, PathId old_path, bool is_directory);
  void Sort();
  // The other way round: what turns the newer state back into the older.
  void Invert();

  // Calls `visit` with one after the other, each with its paths, while somebody waits for it.
  void ForEach(const std::function<void(DiffEntry)>& visit) const;
  std::vector<DiffEntry> All() const;

 private:
  struct Entry {
    PathId path;
    PathId old_path;  // kRenamed
    DiffKind kind;
    bool is_directory;
  };

  std::unique_ptr<PathTree> paths_;
  WorkLimits* limits_;
  HeldBytes held_;
  std::deque<Entry> changes_;
};

}  // namespace ckptfs
