// Paths in little memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/work_limits.h"

namespace ckptfs {

// A path in a PathTree. A directory's number is less than those of its contents.
enum class PathId : uint32_t {};
inline constexpr PathId kRootPath{0};
inline constexpr PathId kNoPath{UINT32_MAX};

// Stores each path once, as a name in a parent path: a deep tree of long names needs memory for its names
// only, not for each full path. Knows nothing of files: the same path in two volumes is one.
//
// Used by one thread. Allocations throw the errors of the limits; a path longer than kPathBytesMax is E2BIG.
class PathTree {
 public:
  static constexpr size_t kPathBytesMax = size_t{1} << 20;

  explicit PathTree(WorkLimits& limits);
  ~PathTree() = default;
  PathTree(const PathTree&) = delete;
  PathTree& operator=(const PathTree&) = delete;

  // The path of a name in a directory; added if needed.
  PathId Child(PathId directory, std::string_view name);
  // kNoPath: it has not been added.
  PathId FindChild(PathId directory, std::string_view name) const;

  WorkLimits& limits() const noexcept { return held_.limits(); }
  size_t size() const noexcept { return nodes_.size(); }
  PathId DirectoryOf(PathId path) const { return At(path).directory; }  // kNoPath of the root
  std::string_view NameOf(PathId path) const;
  // As a string; "" is the root.
  std::string Text(PathId path) const;
  size_t LengthOf(PathId path) const { return At(path).length; }

  // For each path, by number, its rank when all are sorted by bytes.
  std::vector<uint32_t> Ranks() const;

 private:
  struct Node {
    PathId directory = kNoPath;
    uint32_t length = 0;         // of the whole path, in bytes
    const char* name = nullptr;  // its length is stored before it
  };
  struct Name {
    PathId directory;
    std::string_view name;
  };
  struct ByName {
    using is_transparent = void;
    const PathTree* tree;
    Name Of(PathId path) const { return {tree->DirectoryOf(path), tree->NameOf(path)}; }
    static Name Of(const Name& name) { return name; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      const Name left = Of(a);
      const Name right = Of(b);
      return left.directory != right.directory ? left.directory < right.directory
                                               : left.name < right.name;
    }
  };

  const Node& At(PathId path) const { return nodes_[static_cast<size_t>(path)]; }
  const char* Keep(std::string_view name);

  HeldBytes held_;
  std::vector<std::unique_ptr<char[]>> pieces_;  // blocks of memory for names
  size_t piece_used_ = 0;
  std::deque<Node> nodes_;
  std::set<PathId, ByName> children_;
};

}  // namespace ckptfs
