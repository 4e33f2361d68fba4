// Replays a send stream on names only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/btrfs/send_stream.h"
#include "backend/compare/name_changes.h"

namespace ckptfs {

// Follows the commands of a send stream and determines which names it gains and loses in total.
//
// A stream is a program, not a list of differences: where names collide on the way, it parks files under
// temporary names ("o-257-8-0"), and each path is meant as of that moment. A user's file may have such a name
// too. So nothing is concluded from names. Instead the commands are executed on a tree that starts as the
// older volume and ends as the newer; then the two are compared.
//
// The tree is an overlay. It contains only what commands have named; everything else is implied: a directory
// of the older volume has its children from there, minus those in `lost_`. A child named by a command becomes
// a node, which remembers its path in the older volume, its origin. A rename moves a node, and with it, at no
// cost, everything implied below. A node is at home if it is in the directory, and under the name, of its
// origin. When it leaves home the origin is lost; when it comes back it is not. At the end, nodes that are
// not at home are gained.
//
// Time and memory are proportional to the number of commands (and the depth of their paths); the volumes are
// not read. Commands that contradict the tree throw Error(EBADMSG).
//
// Used by one thread. Apply each command in order, then Finish once.
class StreamReplay {
 public:
  explicit StreamReplay(WorkLimits& limits);
  ~StreamReplay();
  StreamReplay(const StreamReplay&) = delete;
  StreamReplay& operator=(const StreamReplay&) = delete;

  void Apply(const SendCommand& command);
  NameChanges Finish();

 private:
  struct Node;
  // Returns memory to the limits.
  struct Discard {
    StreamReplay* replay;
    void operator()(Node* node) const;
  };
  using NodePointer = std::unique_ptr<Node, Discard>;

  NodePointer NewNode();
  PathId Place(const Node& directory, std::string_view entry);
  bool IsAtHome(const Node& node) const;
  bool IsLost(PathId path) const;
  void SetLost(PathId path, bool lost);
  Node* Find(std::string_view path);
  Node* FindChild(Node* directory, std::string_view name);
  // The parent directory of `path`; sets `name` to the last component.
  Node* FindParent(std::string_view path, std::string* name);
  void Attach(Node* directory, const std::string& name, NodePointer node);
  NodePointer Detach(Node* node);
  void Create(std::string_view path);
  void Rename(std::string_view from, std::string_view to);
  void Link(std::string_view path, std::string_view target);
  void Remove(std::string_view path);

  NameChanges changes_;
  PathTree& paths_;
  HeldBytes held_;
  NodePointer root_;
  std::vector<bool> lost_;  // by path
};

}  // namespace ckptfs
