// Which names in a workspace a request may tell its caller.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "fs/control.h"

namespace ckptfs::control {

// A comparison reads everything, whoever asks for it; but what stands in a directory that the caller may
// not list is none of the caller's business. Used by one thread.
class VisibleNames {
 public:
  // Without a volume (its data is missing) nobody but root sees anything.
  VisibleNames(const ControlCaller& caller, std::shared_ptr<Volume> volume)
      : caller_(caller), volume_(std::move(volume)) {}

  // Whether the caller may list the directory that `path`, relative to the volume's root, is in; where
  // that is not there any more, the nearest above it that is. Root may.
  bool Shows(const std::string& path);

 private:
  bool MayList(const std::string& directory);

  const ControlCaller& caller_;
  std::shared_ptr<Volume> volume_;
  std::map<std::string, bool> known_;  // directories
};

// Takes out the changes that the caller must not see; returns how many those were.
size_t TakeOutHidden(std::vector<Change>& changes, VisibleNames& older, VisibleNames& newer);

}  // namespace ckptfs::control
