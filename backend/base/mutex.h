// Locks annotated for Clang's thread safety analysis.
#pragma once

#include <mutex>
#include <shared_mutex>

// Clang's thread safety analysis (-Wthread-safety) checks these: a GUARDED_BY member is used only with that
// lock held, and a REQUIRES function is called only with it held. Other compilers ignore them. The standard
// library's locks are not annotated, so the classes below replace them.
#if defined(__clang__)
#define CKPTFS_ATTRIBUTE(x) __attribute__((x))
#else
#define CKPTFS_ATTRIBUTE(x)
#endif

#define CAPABILITY(name) CKPTFS_ATTRIBUTE(capability(name))
#define SCOPED_CAPABILITY CKPTFS_ATTRIBUTE(scoped_lockable)
#define GUARDED_BY(lock) CKPTFS_ATTRIBUTE(guarded_by(lock))
#define REQUIRES(...) CKPTFS_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) CKPTFS_ATTRIBUTE(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) CKPTFS_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) CKPTFS_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) CKPTFS_ATTRIBUTE(acquire_shared_capability(__VA_ARGS__))
#define RELEASE(...) CKPTFS_ATTRIBUTE(release_capability(__VA_ARGS__))

namespace ckptfs {

class CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;

 private:
  friend class HeldLock;
  friend class MutexLock;
  std::mutex mutex_;
};

// Holds a mutex while it exists, except between Unlock and Lock.
class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : lock_(mutex.mutex_) {}
  ~MutexLock() RELEASE() {}  // NOLINT(modernize-use-equals-default): it has an attribute
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void Unlock() RELEASE() { lock_.unlock(); }
  void Lock() ACQUIRE() { lock_.lock(); }

  // For waiting on a condition variable; the mutex is held again when the wait returns. The analysis treats
  // the predicate as a separate function: mark it REQUIRES(mutex).
  std::unique_lock<std::mutex>& native() noexcept { return lock_; }

 private:
  std::unique_lock<std::mutex> lock_;
};

// Holds a mutex while it exists, as part of an object: the analysis cannot follow that, so what the mutex guards
// for such an object has no GUARDED_BY.
class HeldLock {
 public:
  explicit HeldLock(Mutex& mutex) : lock_(mutex.mutex_) {}

 private:
  std::unique_lock<std::mutex> lock_;
};

// Allows many readers or one writer.
class CAPABILITY("shared mutex") SharedMutex {
 public:
  SharedMutex() = default;

 private:
  friend class ReaderLock;
  friend class WriterLock;
  std::shared_mutex mutex_;
};

class SCOPED_CAPABILITY ReaderLock {
 public:
  explicit ReaderLock(SharedMutex& mutex) ACQUIRE_SHARED(mutex) : lock_(mutex.mutex_) {}
  ~ReaderLock() RELEASE() {}  // NOLINT(modernize-use-equals-default)
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  std::shared_lock<std::shared_mutex> lock_;
};

class SCOPED_CAPABILITY WriterLock {
 public:
  explicit WriterLock(SharedMutex& mutex) ACQUIRE(mutex) : lock_(mutex.mutex_) {}
  ~WriterLock() RELEASE() {}  // NOLINT(modernize-use-equals-default)
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  std::unique_lock<std::shared_mutex> lock_;
};

}  // namespace ckptfs
