// View numbers of what a rebuild finds.
#pragma once

#include <cstdint>
#include <set>

#include "catalog/db/view_numbers.h"

namespace ckptfs {

// Which numbers are taken, by found volumes or according to an older catalog. Used by one thread.
class FoundViews {
 public:
  // The older catalog has it: a mount may be using it.
  void Remember(uint64_t view) { used_.insert(view); }
  // False if another found volume has it.
  bool Claim(uint64_t view);
  // A number that nothing has or had. Throws Error ENOSPC if there is none.
  uint64_t Take(ViewUse use);

 private:
  std::set<uint64_t> found_;
  std::set<uint64_t> used_;  // including remembered ones
};

}  // namespace ckptfs
