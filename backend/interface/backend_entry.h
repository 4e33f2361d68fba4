// The entries of the table of backends (backend/registry.cc).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/interface/backend.h"

namespace ckptfs {

struct BackendEntry {
  std::string_view type;
  // Why a store in this directory cannot use it; empty if it can.
  std::optional<std::string> (*obstacle)(int store_fd);
  void (*create)(int store_fd, const BackendOptions& options);
  bool (*exists)(int store_fd);
  std::unique_ptr<Backend> (*open)(int store_fd, const BackendOptions& options);
  // Removes an empty one.
  void (*remove)(int store_fd, const BackendOptions& options);
  // Whether it accepts the options pool_data and pool_metadata.
  bool takes_pool_devices = false;
};

// dm-snapshot and dm-thin. In a build without device-mapper, these entries recognise such a store and refuse
// it.
std::vector<BackendEntry> DeviceMapperBackends();

}  // namespace ckptfs
