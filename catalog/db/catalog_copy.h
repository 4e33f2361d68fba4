// The catalog of a store that must not be written to.
#pragma once

#include "backend/base/unique_fd.h"

namespace ckptfs {

// SQLite has to write even when it only reads: the WAL of the last run is part of the database, and its index
// is another file beside both. So both are copied into memory (a private tmpfs mount), and read and repaired
// there; the copy is freed with its last descriptor. Returns its directory, empty if there is no catalog. The
// store's lock must be held. Throws Error.
UniqueFd CopyCatalog(int store_fd);

}  // namespace ckptfs
