// Cleaning up after a crash.
#pragma once

#include "catalog/store/store_context.h"

namespace ckptfs {

// Repairs the store and takes stock of it, before anything else is done with an open store. May be killed at
// any point and repeated. Throws Error.
void Recover(StoreContext& store);

}  // namespace ckptfs
