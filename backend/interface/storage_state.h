// What a backend says about its storage: how full it is, and whether it still works.
#pragma once

#include <cstdint>
#include <string>

namespace ckptfs {

// For the beginning of a sentence, e.g. the name of a place.
std::string Capitalised(std::string text);

// One of the places that new volumes, and what is written to them, take space of.
struct SpaceLevel {
  std::string name;          // for messages: "the store's image"
  uint64_t total_bytes = 0;  // 0: no limit
  uint64_t free_bytes = 0;
  uint64_t metadata_bytes = 0;    // what metadata takes there in the worst case
  bool is_metadata = false;       // it is for nothing else
  bool is_overcommitted = false;  // the layer above it was made for more than is left
  std::string remedy;             // what makes room: a sentence without its full stop
};

// Why the storage does not keep what it is given.
struct StorageFailure {
  enum class Kind {
    kReadOnly,    // it takes no changes any more
    kLostWrites,  // it does, but some of what was written before is lost
  };
  Kind kind = Kind::kReadOnly;
  // Both are sentences without their full stop; the reason begins with a small letter.
  std::string reason;
  std::string remedy;

  // Both, as two whole sentences.
  std::string Sentences() const;
};

}  // namespace ckptfs
