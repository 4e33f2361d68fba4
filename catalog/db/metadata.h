// Metadata that programs attach to a snapshot.
#pragma once

#include <string>

namespace ckptfs {

// A validated JSON object of at most 64 KiB and 64 levels. Validation takes time, which must be the caller's
// own: do it before waiting for a verb, and never under a lock.
class Metadata {
 public:
  Metadata() = default;  // an empty object
  // Throws Error EINVAL.
  static Metadata Checked(std::string json);

  const std::string& json() const noexcept { return json_; }

 private:
  std::string json_ = "{}";
};

}  // namespace ckptfs
