// View numbers of what a rebuild finds.
#pragma once

#include <cstdint>
#include <set>

#include "catalog/db/view_numbers.h"

namespace ckptfs {

// Which numbers are taken, by what was found or by what an older catalog knew. For one thread.
class FoundViews {
 public:
  // The older catalog knew it: a mount may be serving by it.
  void Remember(uint64_t view) { used_.insert(view); }
  // False if something else that was found has it.
  bool Claim(uint64_t view);
  // One that nothing has or had. Throws Error ENOSPC if there is none.
  uint64_t Take(ViewUse use);

 private:
  std::set<uint64_t> found_;
  std::set<uint64_t> used_;  // these, and what was remembered
};

}  // namespace ckptfs
