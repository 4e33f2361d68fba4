// Prints the changes between two states as they arrive.
#pragma once

#include <string>

#include "tools/ckpt/client.h"

namespace ckptfs::cli {

// One change as a line for people: "+ path", "- path", "M path", "R old -> new".
std::string ChangeLine(const Json& item);

// Prints a stream of changes: lines, or one JSON array with one element per line. Used by one thread.
class ChangePrinter {
 public:
  explicit ChangePrinter(bool json) : json_(json) {}
  void Add(const Json& items);
  // `result`: the last line of the answer. Reports on standard error what is not shown.
  void Finish(const Json& result) const;
  size_t count() const noexcept { return count_; }

 private:
  bool json_;
  size_t count_ = 0;
};

}  // namespace ckptfs::cli
