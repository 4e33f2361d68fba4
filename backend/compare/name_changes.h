// What two volumes differ in, as far as names tell: what a stream or a walk finds out.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ckptfs {

// A name is three things: a directory (as a file, not as a path), an entry in it, and the file
// that the entry stands for. It is gained or lost if all three together are in one volume only.
// So the files below a renamed directory gain and lose nothing.
struct GainedName {
  // The path that this entry of this directory has in the older volume, whether or not something
  // was there. None if the directory itself is new.
  std::optional<std::string> place;
  // Where a send stream said the file came from.
  std::optional<std::string> moved_from;
};

// A file that is in both volumes and may differ.
struct TouchedFile {
  std::string old_path;  // any of its names in the older volume
  std::string new_path;  // any of its names in the newer
  bool contents = false;
};

struct NameChanges {
  std::set<std::string> lost;                // by path in the older volume
  std::map<std::string, GainedName> gained;  // by path in the newer
  std::vector<TouchedFile> touched;
  // From a send stream: may be mistaken about identities, and names every renamed file that changed
  // in `touched`.
  bool from_send = false;
};

}  // namespace ckptfs
