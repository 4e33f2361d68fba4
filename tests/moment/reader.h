// A process that reads a tree while it is rolled back and forth.
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

// What the rolling process tells the readers; in memory that they share. After an even number of
// rollbacks the tree is in state A, after an odd one in state B.
struct RollbackCount {
  std::atomic<uint64_t> begun;
  std::atomic<uint64_t> returned;
  std::atomic<bool> stopped;
};

inline State StateAfter(uint64_t rollbacks) { return rollbacks % 2 == 0 ? State::kA : State::kB; }

// What a reader looks at; each has its own count of what was seen.
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

// Each path walk from the root has to find all of one state: the one that was there when it began,
// or one that a rollback in flight put in its place. A handle keeps what it opened. A directory that
// stays open, and the working directory, show the tree as it is. For one thread.
class Reader {
 public:
  // `by_name`: the workspace is rolled back by a rename over its name. The kernel then declares the
  // root directory that was replaced dead, and a path walk that has passed it by finds nothing in
  // it: while such a rename is under way, a call may fail with ENOENT or ESTALE, and a listing of
  // the root be empty.
  Reader(const std::string& root, const RollbackCount& count, uint64_t seed, bool by_name);

  // Looks until told to stop. Returns how much was seen that must not be; says what it was.
  uint64_t Run();
  // How often something was looked at, and how often no rollback was in flight meanwhile.
  uint64_t Looks(Look look) const { return looks_[static_cast<size_t>(look)]; }
  uint64_t strict_looks() const { return strict_looks_; }
  // Calls that met a rollback in a way that the kernel's path walk does not allow to be better: see
  // the constructor, and directories that have changed places.
  uint64_t interrupted() const { return interrupted_; }

 private:
  // The states that may be seen by what is done while it exists.
  class Window {
   public:
    explicit Window(const RollbackCount& count) : count_(count), from_(count.returned) {}
    StateSet Allowed() const;  // by now
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
  // `error`: the errno with which it failed, or 0.
  void Expect(Look look, const Window& window, const StateSet& seen, const std::string& what,
              int error = 0);
  void Complain(const std::string& what);
  // Of which states the answer to open(2) and what follows can be. Throws nothing.
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
