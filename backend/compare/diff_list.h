// The result of a comparison.
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

// Changes, sorted by path (by bytes; for one path: removed, renamed, added, modified). Stores names rather
// than paths: a path is built on demand. Must not outlive the limits that it was made under.
//
// Used by one thread.
class DiffList {
 public:
  explicit DiffList(WorkLimits& limits);  // empty
  // For paths of that tree.
  explicit DiffList(std::unique_ptr<PathTree> paths);
  ~DiffList() = default;
  DiffList(DiffList&&) noexcept = default;
  DiffList& operator=(DiffList&&) = delete;
  DiffList(const DiffList&) = delete;
  DiffList& operator=(const DiffList&) = delete;

  PathTree& paths() noexcept { return *paths_; }
  size_t size() const noexcept { return changes_.size(); }
  bool empty() const noexcept { return changes_.empty(); }

  // In any order; call Sort afterwards.
  void Add(DiffKind kind, PathId path, PathId old_path, bool is_directory);
  void Sort();
  // Reverses the list: the changes that turn the newer state back into the older.
  void Invert();

  // Calls `visit` with each change and its paths, until the requester goes away.
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
