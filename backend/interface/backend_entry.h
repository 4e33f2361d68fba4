// What the table of backends (backend/registry.cc) is made of.
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
  // Why a store in this directory cannot have it; empty if it can.
  std::optional<std::string> (*obstacle)(int store_fd);
  void (*create)(int store_fd, const BackendOptions& options);
  bool (*exists)(int store_fd);
  std::unique_ptr<Backend> (*open)(int store_fd, const BackendOptions& options);
  // Takes away an empty one.
  void (*remove)(int store_fd, const BackendOptions& options);
  // Whether the options pool_data and pool_metadata are for it.
  bool takes_pool_devices = false;
};

// dm-snapshot and dm-thin. Of a program that was built without device-mapper: entries that know such a store
// when they see it, and refuse it.
std::vector<BackendEntry> DeviceMapperBackends();

}  // namespace ckptfs
