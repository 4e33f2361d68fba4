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
  // The path in the older volume of this name; none if a command made it.
  std::optional<std::string> origin;
  // Any path in the older volume of this file; none if the file is new. A hard link made by a
  // command has no origin but stands for an older file all the same.
  std::optional<std::string> file_origin;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> children;
  bool touched = false;
  bool contents_touched = false;

  // The path that the entry `entry` of this directory has in the older volume.
  std::optional<std::string> Place(const std::string& entry) const {
    if (!origin) return std::nullopt;
    return JoinPath(*origin, entry);
  }
  bool AtHome() const { return parent == nullptr || (origin && parent->Place(name) == origin); }
};

StreamReplay::StreamReplay() : root_(std::make_unique<Node>()) {
  root_->origin = root_->file_origin = "";
}

StreamReplay::~StreamReplay() = default;

StreamReplay::Node* StreamReplay::FindChild(Node* directory, std::string_view name) {
  const auto known = directory->children.find(name);
  if (known != directory->children.end()) return known->second.get();
  std::string entry(name);
  std::optional<std::string> place = directory->Place(entry);
  if (!place || lost_.contains(*place)) return nullptr;
  auto node = std::make_unique<Node>();
  node->parent = directory;
  node->name = entry;
  node->origin = node->file_origin = std::move(place);
  return directory->children.emplace(std::move(entry), std::move(node)).first->second.get();
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

void StreamReplay::Attach(Node* directory, const std::string& name, std::unique_ptr<Node> node) {
  node->parent = directory;
  node->name = name;
  if (node->AtHome()) lost_.erase(*node->origin);
  const bool fresh = directory->children.emplace(name, std::move(node)).second;
  if (!fresh) ThrowContradiction("there is already", name);
}

std::unique_ptr<StreamReplay::Node> StreamReplay::Detach(Node* node) {
  Node* directory = node->parent;
  if (directory == nullptr) ThrowContradiction("the root cannot be moved", "");
  if (node->AtHome()) lost_.insert(*node->origin);
  const auto held = directory->children.find(node->name);
  std::unique_ptr<Node> detached = std::move(held->second);
  directory->children.erase(held);
  detached->parent = nullptr;
  return detached;
}

void StreamReplay::Create(std::string_view path) {
  std::string name;
  Node* directory = FindParent(path, &name);
  Attach(directory, name, std::make_unique<Node>());
}

void StreamReplay::Rename(std::string_view from, std::string_view to) {
  std::unique_ptr<Node> node = Detach(Find(from));
  std::string name;
  Node* directory = FindParent(to, &name);
  // What is in the way was removed or moved aside by an earlier command, or is implied only and
  // in truth not there: the stream is made to be followed with rename(2) on a real tree.
  const auto replaced = directory->children.find(name);
  if (replaced != directory->children.end()) Detach(replaced->second.get());
  Attach(directory, name, std::move(node));
}

void StreamReplay::Link(std::string_view path, std::string_view target) {
  auto node = std::make_unique<Node>();
  const Node* source = Find(target);
  node->file_origin = source->file_origin;
  node->touched = source->touched;
  node->contents_touched = source->contents_touched;
  std::string name;
  Node* directory = FindParent(path, &name);
  Attach(directory, name, std::move(node));
}

void StreamReplay::Remove(std::string_view path) {
  const std::unique_ptr<Node> removed = Detach(Find(path));
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
  NameChanges changes;
  changes.lost = std::move(lost_);
  changes.from_send = true;
  std::vector<std::pair<const Node*, std::string>> pending{{root_.get(), ""}};
  while (!pending.empty()) {
    const auto [node, path] = std::move(pending.back());
    pending.pop_back();
    if (!node->AtHome()) {
      changes.gained[path] = {.place = node->parent->Place(node->name), .moved_from = node->origin};
    }
    if (node->touched && node->file_origin) {
      changes.touched.push_back({*node->file_origin, path, node->contents_touched});
    }
    for (const auto& [name, child] : node->children) {
      pending.emplace_back(child.get(), JoinPath(path, name));
    }
  }
  return changes;
}

}  // namespace ckptfs
