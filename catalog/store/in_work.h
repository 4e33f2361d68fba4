// What operations of this process are making just now.
#pragma once

#include <cstddef>
#include <set>

#include "backend/base/mutex.h"
#include "backend/base/uuid.h"

namespace ckptfs {

// The volumes that operations make or destroy, and whether templates are added or removed. Only one process
// has a store open, so what is not here, and has no row, is left of an operation that has ended. Owned by the
// store's context. Thread-safe.
//
// An operation notes a volume here before anything of it exists, and until it has a row or is gone. So for a
// volume that was seen earlier: if it is not here now, and has no row after that, nobody needs it.
class InWork {
 public:
  // Notes a volume while it exists.
  class Volume {
   public:
    Volume(InWork& owner, VolumeId id) : owner_(owner), id_(std::move(id)) {
      const MutexLock lock(owner_.mutex_);
      owner_.volumes_.insert(id_);
    }
    ~Volume() {
      const MutexLock lock(owner_.mutex_);
      owner_.volumes_.erase(owner_.volumes_.find(id_));
    }
    Volume(const Volume&) = delete;
    Volume& operator=(const Volume&) = delete;

   private:
    InWork& owner_;
    const VolumeId id_;
  };

  // Notes, while it exists, that a template is added or removed.
  class Template {
   public:
    explicit Template(InWork& owner) : owner_(owner) {
      const MutexLock lock(owner_.mutex_);
      ++owner_.templates_;
    }
    ~Template() {
      const MutexLock lock(owner_.mutex_);
      --owner_.templates_;
    }
    Template(const Template&) = delete;
    Template& operator=(const Template&) = delete;

   private:
    InWork& owner_;
  };

  bool Contains(const VolumeId& volume) const {
    const MutexLock lock(mutex_);
    return volumes_.contains(volume);
  }
  std::multiset<VolumeId> Volumes() const {
    const MutexLock lock(mutex_);
    return volumes_;
  }
  bool HasTemplates() const {
    const MutexLock lock(mutex_);
    return templates_ > 0;
  }

 private:
  mutable Mutex mutex_;
  std::multiset<VolumeId> volumes_ GUARDED_BY(mutex_);
  size_t templates_ GUARDED_BY(mutex_) = 0;
};

}  // namespace ckptfs
