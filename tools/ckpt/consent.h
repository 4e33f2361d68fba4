// Questions before what cannot be undone.
#pragma once

#include "tools/ckpt/locate.h"

namespace ckptfs::cli {

// Asks on the terminal whether to remove the workspace with all its snapshots. Throws Error: ECANCELED unless
// the answer is yes, EINVAL without a terminal.
void RequireConsentToForget(const Location& workspace);

}  // namespace ckptfs::cli
