// What an administrator should know about a store before it fails.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/mutex.h"

namespace ckptfs {

// A limit that is exceeded. A value type.
struct HealthFinding {
  std::string key;                      // of the setting that is the limit
  std::optional<int64_t> workspace_id;  // empty: it concerns the whole store
  std::string workspace;                // its name; empty likewise
  std::string sentence;                 // for people, with the remedy
};

// What the last look has found. Thread-safe.
class KnownHealth {
 public:
  std::vector<HealthFinding> Get() const {
    const MutexLock lock(mutex_);
    return findings_;
  }
  // Returns what was known before.
  std::vector<HealthFinding> Exchange(std::vector<HealthFinding> findings) {
    const MutexLock lock(mutex_);
    return std::exchange(findings_, std::move(findings));
  }

 private:
  mutable Mutex mutex_;
  std::vector<HealthFinding> findings_ GUARDED_BY(mutex_);
};

}  // namespace ckptfs
