// A process that reads a tree while it is repeatedly rolled back.
#pragma once

#include <dirent.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>

#include "backend/base/unique_fd.h"
#include "tests/moment/states.h"

namespace ckptfs::moment {

// How many rollbacks were started and finished; shared memory, written by the process that rolls back. After
// an even number the tree is in state A, after an odd number in state B.
struct RollbackCount {
  std::atomic<uint64_t> begun;
  std::atomic<uint64_t> returned;
  std::atomic<bool> stopped;
};

inline State StateAfter(uint64_t rollbacks) { return rollbacks % 2 == 0 ? State::kA : State::kB; }

// What a reader looks at; each kind is counted separately.
enum class Look {
  kStat,
  kContent,
  kMapping,
  kListing,
  kRelative,
  kKeptHandle,
  kHalfListing,
  kLooks
};
inline constexpr size_t kLooks = static_cast<size_t>(Look::kLooks);

// Checks that each path walk from the root finds everything in one state: the one at its start, or one that a
// concurrent rollback installed. A handle keeps what it opened. An open directory and the working directory
// show the current tree. Used by one thread.
class Reader {
 public:
  // `by_name`: the workspace is rolled back by a rename over its name. The kernel then marks the replaced
  // root directory dead, and a path walk that has already passed it finds nothing in it: during such a
  // rename, a call may fail with ENOENT or ESTALE, and a listing of the root may be empty.
  Reader(const std::string& root, const RollbackCount& count, uint64_t seed, bool by_name);

  // Looks until told to stop. Returns the number of violations; prints each.
  uint64_t Run();
  // How often something was looked at, and how often that was without a concurrent rollback.
  uint64_t Looks(Look look) const { return looks_[static_cast<size_t>(look)]; }
  uint64_t strict_looks() const { return strict_looks_; }
  // Calls that a rollback disturbed in a way that the kernel's path walk makes unavoidable: see the
  // constructor, and directories that have changed places.
  uint64_t interrupted() const { return interrupted_; }

 private:
  // The states that may be seen during its lifetime.
  class Window {
   public:
    explicit Window(const RollbackCount& count) : count_(count), from_(count.returned) {}
    StateSet Allowed() const;  // up to now
    std::string Text() const;

   private:
    const RollbackCount& count_;
    uint64_t from_;
  };
  struct Kept {
    std::string path;
    StateSet states;
    UniqueFd fd;
    void* mapping;
    size_t bytes;
    int rounds;
  };
  struct DirectoryClose {
    void operator()(DIR* directory) const { closedir(directory); }
  };
  using Directory = std::unique_ptr<DIR, DirectoryClose>;

  void Enter(const std::string& directory) const;
  void LookAtStat();
  void LookAtContent();
  void LookAtListing();
  void LookRelatively();
  void ExpectToStandThere();
  void LookAtKept();
  void KeepOne();
  void LookAtHalfListing();

  std::string Draw(const std::set<std::string>& of);
  // `error`: the errno of the failure, or 0.
  void Expect(Look look, const Window& window, const StateSet& seen, const std::string& what,
              int error = 0);
  void Complain(const std::string& what);
  // The states that an open(2) and the following calls can belong to. Does not throw.
  StateSet StatesOf(int fd, const std::string& path, std::string& seen) const;
  StateSet StatesOfStat(const struct stat& status, const std::string& path) const;
  StateSet StatesWithout(const std::string& path) const;
  StateSet StatesWithoutDirectory(const std::string& path) const;
  StateSet StatesOfListing(DIR* directory, const std::string& path, std::string& seen) const;

  const States states_;
  const std::string root_;
  const RollbackCount& count_;
  const bool by_name_;
  std::mt19937_64 random_;
  std::list<Kept> kept_;
  std::map<std::string, UniqueFd> open_directories_;
  std::array<uint64_t, kLooks> looks_{};
  uint64_t strict_looks_ = 0;
  uint64_t interrupted_ = 0;
  uint64_t wrong_ = 0;
};

}  // namespace ckptfs::moment
