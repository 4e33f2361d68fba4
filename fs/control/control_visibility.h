// Which names in a workspace a request may tell its caller.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "backend/interface/backend.h"
#include "fs/control/control.h"

namespace ckptfs::control {

// A comparison reads everything, whoever asks for it; but what stands in a directory that the caller may
// not list is none of the caller's business. Used by one thread.
class VisibleNames {
 public:
  // The volume is opened when it is needed, which it is not for root. Where it cannot be (its data is
  // missing) nobody else sees anything.
  VisibleNames(const ControlCaller& caller, const Backend& backend, VolumeId volume)
      : caller_(caller), backend_(backend), id_(std::move(volume)) {}

  // Whether the caller may list the directory that `path`, relative to the volume's root, is in; where
  // that is not there any more, the nearest above it that is. Root may.
  bool Shows(const std::string& path);

 private:
  bool MayList(const std::string& directory);
  void Remember(const std::string& directory, bool may);

  const ControlCaller& caller_;
  const Backend& backend_;
  VolumeId id_;
  std::shared_ptr<Volume> volume_;     // once it has been opened
  std::map<std::string, bool> known_;  // directories, some of those that were asked for last
  size_t known_bytes_ = 0;
};

// Whether the caller may see a change.
bool Shows(const DiffEntry& change, VisibleNames& older, VisibleNames& newer);

}  // namespace ckptfs::control
