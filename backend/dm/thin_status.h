// The kernel's status of thin pools (Documentation/admin-guide/device-mapper/thin-provisioning.rst).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ckptfs {

struct ThinPoolStatus {
  enum class Mode {
    kWritable,
    kOutOfDataSpace,  // new blocks cannot be allocated; all else works
    kReadOnly,
    kFailed,
  };
  Mode mode = Mode::kWritable;
  bool needs_check = false;     // the metadata must be checked before any change
  bool holds_snapshot = false;  // of the metadata, for tools
  uint64_t transaction = 0;
  // Blocks of the metadata (4 KiB each), and of the data.
  uint64_t used_metadata = 0;
  uint64_t total_metadata = 0;
  uint64_t used_data = 0;
  uint64_t total_data = 0;
};

// Empty if the status is unknown.
std::optional<ThinPoolStatus> ParseThinPoolStatus(const std::string& status);

}  // namespace ckptfs
