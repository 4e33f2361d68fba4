// The changes of names between two volumes, as found by a stream or a walk.
#pragma once

#include <deque>
#include <memory>

#include "backend/compare/path_tree.h"

namespace ckptfs {

// A name consists of a directory (a file, not a path), an entry in it, and the file that the entry refers to.
// It is gained or lost if this combination exists in one volume only. So the files below a renamed directory
// gain and lose nothing.
struct GainedName {
  PathId path;  // in the newer volume
  // The path of this entry of this directory in the older volume, whether or not something existed there.
  // None if the directory itself is new.
  PathId place = kNoPath;
  // Where the file came from, according to a send stream.
  PathId moved_from = kNoPath;
};

// A file that is in both volumes and may differ.
struct TouchedFile {
  PathId old_path;  // any of its names in the older volume
  PathId new_path;  // any of its names in the newer
  bool contents = false;
};

// Each lost and each gained path once, in any order.
struct NameChanges {
  explicit NameChanges(WorkLimits& limits)
      : paths(std::make_unique<PathTree>(limits)), held(limits) {}

  void AddLost(PathId path) {
    held.Add(sizeof(PathId));
    lost.push_back(path);
  }
  void AddGained(const GainedName& name) {
    held.Add(sizeof(GainedName));
    gained.push_back(name);
  }
  void AddTouched(const TouchedFile& file) {
    held.Add(sizeof(TouchedFile));
    touched.push_back(file);
  }

  std::unique_ptr<PathTree> paths;  // of both volumes
  std::deque<PathId> lost;          // in the older volume
  std::deque<GainedName> gained;
  std::deque<TouchedFile> touched;
  HeldBytes held;
  // From a send stream: identities may be wrong, and every renamed file that changed is in `touched`.
  bool from_send = false;
};

}  // namespace ckptfs
