// Executes the operations of a sequence.
#pragma once

#include <unordered_map>

#include "backend/base/unique_fd.h"
#include "tests/moment/operation.h"

namespace ckptfs::moment {

// One writer's open files and mappings. Every operation is one system call; if it fails or writes too little,
// Error is thrown. Used by one thread.
class Performer {
 public:
  Performer(int writer, const std::string& directory);
  ~Performer();
  Performer(const Performer&) = delete;
  Performer& operator=(const Performer&) = delete;

  // Creates the `Content` for this operation before its time is taken.
  void Prepare(uint64_t number, const Operation& operation);
  void Do(uint64_t number, const Operation& operation);

 private:
  struct Mapping {
    void* address = nullptr;
    size_t bytes = 0;
  };

  int Fd(const Operation& operation) const;
  void DoToNames(const Operation& operation);
  void SetAttribute(uint64_t number, const Operation& operation);
  void DoToMapping(uint64_t number, const Operation& operation);

  const int writer_;
  const UniqueFd directory_;
  std::unordered_map<int, UniqueFd> files_;
  std::unordered_map<int, Mapping> mappings_;
  std::string content_;
};

}  // namespace ckptfs::moment
