// Two states of one tree. Everything in the tree shows which state it belongs to.
#pragma once

#include <sys/stat.h>

#include <array>
#include <map>
#include <set>
#include <string>

namespace ckptfs::moment {

enum class State { kA, kB };
inline constexpr std::array<State, 2> kStates = {State::kA, State::kB};

// A set of states that something may belong to.
struct StateSet {
  bool a = false;
  bool b = false;

  void Add(State state) { (state == State::kA ? a : b) = true; }
  bool Meets(const StateSet& other) const { return (a && other.a) || (b && other.b); }
  const char* Name() const { return a ? (b ? "both" : "A") : (b ? "B" : "neither"); }
};

struct Thing {
  mode_t mode = 0;  // with the type
  time_t mtime_s = 0;
  std::string content;  // of a file

  bool LooksLike(const struct stat& status) const;
};

// The content of the tree, by path relative to its root: files and directories that exist in one state only,
// files that the other state has rewritten in place or replaced, a name that is a file in one state and a
// directory in the other, and two directories that have changed places.
class States {
 public:
  States();

  const std::map<std::string, Thing>& Of(State state) const {
    return things_[static_cast<size_t>(state)];
  }
  // Null: nothing at that path in that state.
  const Thing* Find(State state, const std::string& path) const;
  // Paths of either state.
  const std::set<std::string>& Paths() const { return paths_; }
  // The names in that directory ("" is the root).
  std::set<std::string> NamesIn(State state, const std::string& directory) const;
  std::set<std::string> Directories() const;

  // Make state A in an empty directory, and state B from state A. Throw Error.
  void MakeA(const std::string& root) const;
  void MakeBOfA(const std::string& root) const;

 private:
  void Add(State state, const std::string& path, bool is_directory);
  void Put(State state, const std::string& root, const std::string& path) const;
  // Sets modes and times, which must come last.
  void SetAttributes(State state, const std::string& root) const;

  std::array<std::map<std::string, Thing>, 2> things_;
  std::set<std::string> paths_;
};

}  // namespace ckptfs::moment
