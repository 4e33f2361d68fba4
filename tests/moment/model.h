// The expected state of a writer's directory after some number of operations.
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

// An in-memory tree that operations change as a filesystem would. Files are identified by number, so a copy
// of a model is independent of it. Used by one thread.
class Model {
 public:
  explicit Model(int writer) : writer_(writer) {}

  void Apply(uint64_t number, const Operation& operation);
  // The names through which the operation's effect can be seen; call before and after `Apply`.
  std::set<std::string> Concerned(const Operation& operation) const;

  // The difference between the found tree and this one at a path; empty if they are equal. Of a mapped file
  // only what is not a store is compared.
  std::optional<std::string> Difference(const Tree& found, const std::string& path) const;

  // All paths in either tree.
  std::set<std::string> AllPaths(const Tree& found) const;

  // The content of a file that has been mapped at some time; null for others.
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
