// What a crash left behind.
#pragma once

#include "catalog/store/store_context.h"

namespace ckptfs {

// Mends it, and finds out what is there; before anything else is done with an open store. May be killed at
// any point and repeated. Throws Error.
void Recover(StoreContext& store);

}  // namespace ckptfs
