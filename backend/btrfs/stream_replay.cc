#include "backend/btrfs/stream_replay.h"

#include <fmt/format.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "backend/base/error.h"
#include "backend/btrfs/subvolume_files.h"

namespace ckptfs {
namespace {

[[noreturn]] void ThrowContradiction(std::string_view why, std::string_view path) {
  throw Error(EBADMSG, "follow btrfs's send stream", fmt::format("{} {:?}", why, path));
}

}  // namespace

struct StreamReplay::Node {
  Node* parent = nullptr;
  std::string name;
  // The path of this name in the older volume; none if a command created it.
  PathId origin = kNoPath;
  // Any path of this file in the older volume; none if the file is new. A hard link created by a command has
  // no origin but is still an older file.
  PathId file_origin = kNoPath;
  // Keys point to the children's own names.
  std::map<std::string_view, NodePointer> children;
  bool touched = false;
  bool contents_touched = false;
};

namespace {

// The memory of a node, its name and its entry among its parent's children, as allocated.
constexpr size_t kNodeBytes = 256;

}  // namespace

StreamReplay::StreamReplay(WorkLimits& limits)
    : changes_(limits), paths_(*changes_.paths), held_(limits), root_(NewNode()) {
  root_->origin = root_->file_origin = kRootPath;
}

StreamReplay::~StreamReplay() = default;

StreamReplay::NodePointer StreamReplay::NewNode() {
  held_.Add(kNodeBytes);
  return NodePointer(std::make_unique<Node>().release(), Discard{this});
}

void StreamReplay::Discard::operator()(Node* node) const {
  replay->held_.Remove(kNodeBytes);
  std::default_delete<Node>()(node);
}

// The path of a directory's entry in the older volume.
PathId StreamReplay::Place(const Node& directory, std::string_view entry) {
  return directory.origin == kNoPath ? kNoPath : paths_.Child(directory.origin, entry);
}

bool StreamReplay::IsAtHome(const Node& node) const {
  if (node.parent == nullptr) return true;
  return node.origin != kNoPath && node.parent->origin != kNoPath &&
         paths_.DirectoryOf(node.origin) == node.parent->origin &&
         paths_.NameOf(node.origin) == node.name;
}

bool StreamReplay::IsLost(PathId path) const {
  const auto at = static_cast<size_t>(path);
  return at < lost_.size() && lost_[at];
}

void StreamReplay::SetLost(PathId path, bool lost) {
  const auto at = static_cast<size_t>(path);
  if (at >= lost_.size()) lost_.resize(at + 1);
  lost_[at] = lost;
}

StreamReplay::Node* StreamReplay::FindChild(Node* directory, std::string_view name) {
  const auto known = directory->children.find(name);
  if (known != directory->children.end()) return known->second.get();
  if (directory->origin == kNoPath) return nullptr;
  const PathId place = Place(*directory, name);
  if (IsLost(place)) return nullptr;
  NodePointer node = NewNode();
  node->parent = directory;
  node->name = name;
  node->origin = node->file_origin = place;
  const std::string_view key = node->name;
  return directory->children.emplace(key, std::move(node)).first->second.get();
}

StreamReplay::Node* StreamReplay::Find(std::string_view path) {
  Node* node = root_.get();
  for (std::string_view rest = path; !rest.empty();) {
    const size_t slash = rest.find('/');
    const std::string_view name = rest.substr(0, slash);
    if (name.empty() || name == "." || name == ".." || slash == rest.size() - 1) {
      ThrowContradiction("odd path", path);
    }
    node = FindChild(node, name);
    if (node == nullptr) ThrowContradiction("there is no", path);
    rest = slash == std::string_view::npos ? "" : rest.substr(slash + 1);
  }
  return node;
}

StreamReplay::Node* StreamReplay::FindParent(std::string_view path, std::string* name) {
  const size_t slash = path.rfind('/');
  *name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  if (name->empty() || *name == "." || *name == ".." || slash == 0) {
    ThrowContradiction("odd path", path);
  }
  return slash == std::string_view::npos ? root_.get() : Find(path.substr(0, slash));
}

void StreamReplay::Attach(Node* directory, const std::string& name, NodePointer node) {
  node->parent = directory;
  node->name = name;
  if (IsAtHome(*node)) SetLost(node->origin, false);
  const std::string_view key = node->name;
  if (directory->children.contains(key)) ThrowContradiction("there is already", name);
  directory->children.emplace(key, std::move(node));
}

StreamReplay::NodePointer StreamReplay::Detach(Node* node) {
  Node* directory = node->parent;
  if (directory == nullptr) ThrowContradiction("the root cannot be moved", "");
  if (IsAtHome(*node)) SetLost(node->origin, true);
  const auto held = directory->children.find(node->name);
  NodePointer detached = std::move(held->second);
  directory->children.erase(held);
  detached->parent = nullptr;
  return detached;
}

void StreamReplay::Create(std::string_view path) {
  std::string name;
  Node* directory = FindParent(path, &name);
  Attach(directory, name, NewNode());
}

void StreamReplay::Rename(std::string_view from, std::string_view to) {
  NodePointer node = Detach(Find(from));
  std::string name;
  Node* directory = FindParent(to, &name);
  // An earlier command has removed or moved what was in the way, or it is only implied and does not really
  // exist: the stream is meant for rename(2) on a real tree.
  const auto replaced = directory->children.find(name);
  if (replaced != directory->children.end()) Detach(replaced->second.get());
  Attach(directory, name, std::move(node));
}

void StreamReplay::Link(std::string_view path, std::string_view target) {
  NodePointer node = NewNode();
  const Node* source = Find(target);
  node->file_origin = source->file_origin;
  node->touched = source->touched;
  node->contents_touched = source->contents_touched;
  std::string name;
  Node* directory = FindParent(path, &name);
  Attach(directory, name, std::move(node));
}

void StreamReplay::Remove(std::string_view path) {
  const NodePointer removed = Detach(Find(path));
  if (!removed->children.empty()) ThrowContradiction("removed but not empty:", path);
}

void StreamReplay::Apply(const SendCommand& command) {
  switch (command.operation) {
    case SendOperation::kSubvolume:
    case SendOperation::kSnapshot:
    case SendOperation::kEnd:
      return;  // their path is the subvolume's name, not one in it
    case SendOperation::kMakeFile:
    case SendOperation::kMakeDirectory:
    case SendOperation::kMakeNode:
    case SendOperation::kMakeFifo:
    case SendOperation::kMakeSocket:
    case SendOperation::kMakeSymlink:
      return Create(command.path);
    case SendOperation::kRename:
      return Rename(command.path, command.path_to);
    case SendOperation::kLink:
      return Link(command.path, command.path_link);
    case SendOperation::kUnlink:
    case SendOperation::kRemoveDirectory:
      return Remove(command.path);
    case SendOperation::kWrite:
    case SendOperation::kClone:
    case SendOperation::kTruncate:
    case SendOperation::kUpdateExtent: {
      Node* node = Find(command.path);
      node->touched = node->contents_touched = true;
      return;
    }
    case SendOperation::kSetXattr:
    case SendOperation::kRemoveXattr:
    case SendOperation::kChangeMode:
    case SendOperation::kChangeOwner:
    case SendOperation::kSetTimes:
      Find(command.path)->touched = true;
      return;
  }
}

NameChanges StreamReplay::Finish() {
  changes_.from_send = true;
  for (uint32_t i = 0; i < lost_.size(); ++i) {
    if (lost_[i]) changes_.AddLost(PathId{i});
  }
  std::vector<std::pair<const Node*, PathId>> pending{{root_.get(), kRootPath}};
  while (!pending.empty()) {
    const auto [node, path] = pending.back();
    pending.pop_back();
    if (!IsAtHome(*node)) {
      changes_.AddGained(
          {.path = path, .place = Place(*node->parent, node->name), .moved_from = node->origin});
    }
    if (node->touched && node->file_origin != kNoPath) {
      changes_.AddTouched({node->file_origin, path, node->contents_touched});
    }
    for (const auto& [name, child] : node->children) {
      pending.emplace_back(child.get(), paths_.Child(path, name));
    }
  }
  return std::move(changes_);
}

}  // namespace ckptfs
