// Which names of a workspace a request may tell its caller.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "backend/interface/backend.h"
#include "fs/control/control.h"

namespace ckptfs::control {

// A comparison reads everything, whoever requests it. But names in a directory that the caller may not list
// must not be shown to the caller. Used by one thread.
class VisibleNames {
 public:
  // The volume is opened when needed; for root, it never is. If it cannot be opened (its data is missing),
  // other users see nothing.
  VisibleNames(const ControlCaller& caller, const Backend& backend, VolumeId volume)
      : caller_(caller), backend_(backend), id_(std::move(volume)) {}

  // Whether the caller may list the directory that contains `path`, which is relative to the volume's root;
  // if that is gone, the nearest existing ancestor. Always true for root.
  bool Shows(const std::string& path);

 private:
  bool MayList(const std::string& directory);
  void Remember(const std::string& directory, bool may);

  const ControlCaller& caller_;
  const Backend& backend_;
  VolumeId id_;
  std::shared_ptr<Volume> volume_;     // once opened
  std::map<std::string, bool> known_;  // recently asked directories
  size_t known_bytes_ = 0;
};

// Whether the caller may see a change.
bool Shows(const DiffEntry& change, VisibleNames& older, VisibleNames& newer);

}  // namespace ckptfs::control
