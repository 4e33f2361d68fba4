#include "backend/compare/path_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

constexpr std::array<char, 2> kNoName{};
constexpr size_t kNamesPieceBytes = size_t{16} << 10;
// The memory of a node in the tree of children, as allocated.
constexpr size_t kChildBytes = 48;

// Sorts directory entries by bytes. A name is sorted once for itself, and once more, followed by a slash, for
// what is below it: the order of paths is "a", "a-b", "a/c".
struct Item {
  uint32_t path = 0;
  bool below = false;
};

}  // namespace

PathTree::PathTree(WorkLimits& limits) : held_(limits), children_(ByName{this}) {
  nodes_.push_back({.directory = kNoPath, .length = 0, .name = kNoName.data() + 1});
}

const char* PathTree::Keep(std::string_view name) {
  if (name.size() > NAME_MAX) {
    throw Error(EBADMSG, "compare two states", fmt::format("{:?} is no name", name));
  }
  const size_t needed = name.size() + 1;
  if (pieces_.empty() || kNamesPieceBytes - piece_used_ < needed) {
    held_.Add(kNamesPieceBytes);
    pieces_.push_back(std::make_unique_for_overwrite<char[]>(kNamesPieceBytes));
    piece_used_ = 0;
  }
  char* place = pieces_.back().get() + piece_used_;
  piece_used_ += needed;
  *place = static_cast<char>(static_cast<unsigned char>(name.size()));
  std::memcpy(place + 1, name.data(), name.size());
  return place + 1;
}

PathId PathTree::FindChild(PathId directory, std::string_view name) const {
  const auto known = children_.find(Name{directory, name});
  return known == children_.end() ? kNoPath : *known;
}

PathId PathTree::Child(PathId directory, std::string_view name) {
  const PathId known = FindChild(directory, name);
  if (known != kNoPath) return known;
  const size_t above = LengthOf(directory);
  const size_t length = (above == 0 ? 0 : above + 1) + name.size();
  if (length > kPathBytesMax) {
    throw LimitError(E2BIG, "compare two states",
                     fmt::format("a path in them is longer than {} bytes", kPathBytesMax),
                     "Remove such deeply nested files, or move them up");
  }
  held_.Add(sizeof(Node) + kChildBytes);
  const PathId path{static_cast<uint32_t>(nodes_.size())};
  nodes_.push_back({directory, static_cast<uint32_t>(length), Keep(name)});
  children_.insert(path);
  return path;
}

std::string_view PathTree::NameOf(PathId path) const {
  const char* name = At(path).name;
  return {name, static_cast<unsigned char>(name[-1])};
}

std::string PathTree::Text(PathId path) const {
  std::string text(LengthOf(path), '/');
  for (size_t end = text.size(); path != kRootPath; path = DirectoryOf(path)) {
    const std::string_view name = NameOf(path);
    std::copy(name.begin(), name.end(), text.begin() + static_cast<ptrdiff_t>(end - name.size()));
    end -= std::min(end, name.size() + 1);
  }
  return text;
}

std::vector<uint32_t> PathTree::Ranks() const {
  HeldBytes held(held_.limits());
  held.Add(size() * (2 * sizeof(Item) + 4 * sizeof(uint32_t)));
  std::vector<uint32_t> first(size() + 1, 0);  // item of each directory
  std::vector<Item> items;
  items.reserve(2 * size());
  for (uint32_t i = 1; i < size(); ++i) {
    ++first[static_cast<uint32_t>(nodes_[i].directory)];
    items.push_back({i, false});
  }
  for (uint32_t i = 1; i < size(); ++i) {
    if (first[i] != 0) items.push_back({i, true});
  }
  const auto end_of = [](const Item& item, std::string_view name, size_t at) {
    if (at < name.size()) return int{static_cast<unsigned char>(name[at])};
    return item.below ? int{'/'} : -1;
  };
  std::sort(items.begin(), items.end(), [&](const Item& a, const Item& b) {
    const PathId left = nodes_[a.path].directory;
    const PathId right = nodes_[b.path].directory;
    if (left != right) return left < right;
    const std::string_view one = NameOf(PathId{a.path});
    const std::string_view other = NameOf(PathId{b.path});
    const size_t common = std::min(one.size(), other.size());
    const int order = std::memcmp(one.data(), other.data(), common);
    return order != 0 ? order < 0 : end_of(a, one, common) < end_of(b, other, common);
  });
  std::fill(first.begin(), first.end(), 0);
  for (const Item& item : items) ++first[static_cast<uint32_t>(nodes_[item.path].directory) + 1];
  for (size_t i = 1; i < first.size(); ++i) first[i] += first[i - 1];

  std::vector<uint32_t> ranks(size(), 0);
  uint32_t next = 0;
  struct Range {
    uint32_t at, end;
  };
  std::vector<Range> open{{first[0], first[1]}};  // directories that are being gone through
  while (!open.empty()) {
    Range& range = open.back();
    if (range.at == range.end) {
      open.pop_back();
      continue;
    }
    const Item item = items[range.at++];
    if (item.below) {
      open.push_back({first[item.path], first[item.path + 1]});
    } else {
      ranks[item.path] = ++next;
    }
  }
  return ranks;
}

}  // namespace ckptfs
