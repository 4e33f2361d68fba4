// What programs keep with a snapshot.
#pragma once

#include <string>

namespace ckptfs {

// A JSON object that has been found good: of at most 64 KiB, nested at most 64 levels deep. To find that out
// takes time, which is the caller's own: it is done before a verb is waited for, and never under a lock.
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
