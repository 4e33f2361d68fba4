// What a writer's directory has to look like after some number of operations.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/moment/operation.h"
#include "tests/moment/tree.h"

namespace ckptfs::moment {

// A tree in memory to which operations are applied as a filesystem would. Files are known by number,
// so a copy of a model is independent of it. For one thread.
class Model {
 public:
  explicit Model(int writer) : writer_(writer) {}

  void Apply(uint64_t number, const Operation& operation);
  // The names by which the operation's effect can be seen; to be called before `Apply` and after.
  std::set<std::string> Concerned(const Operation& operation) const;

  // What differs between a tree that was found and this one at a path; nothing if it is the same.
  // Of a mapped file only what is no store is compared.
  std::optional<std::string> Difference(const Tree& found, const std::string& path) const;

  // Every path, here or in the tree that was found.
  std::set<std::string> AllPaths(const Tree& found) const;

  // The content of a file that has ever been mapped; null for others.
  const std::string* MappedContent(const std::string& path) const;

 private:
  struct File {
    Entry entry;
    bool mapped = false;
    bool time_is_known = false;
    uint32_t handles = 0;
  };

  File& ByPath(const std::string& path) { return files_.at(names_.at(path)); }
  File& ByHandle(int handle) { return files_.at(handles_.at(handle)); }
  void ApplyOpen(const Operation& operation);
  void ApplyToNames(const Operation& operation);
  void ApplyToAttributes(uint64_t number, const Operation& operation);
  void AddName(const std::string& path, uint64_t file);
  void RemoveName(const std::string& path);
  void Move(const std::string& from, const std::string& to);
  void Write(File& file, size_t offset, const std::string& content);
  void ForgetIfUnused(uint64_t file);
  std::set<std::string> NamesOf(uint64_t file) const;
  std::set<std::string> NamesBelow(const std::string& path) const;

  int writer_;
  uint64_t last_file_ = 0;
  std::map<std::string, uint64_t> names_;
  std::map<uint64_t, File> files_;
  std::map<int, uint64_t> handles_;
};

}  // namespace ckptfs::moment
