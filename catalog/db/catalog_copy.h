// The catalog of a store that must not be written to.
#pragma once

#include "backend/base/unique_fd.h"

namespace ckptfs {

// SQLite has to write where it only reads: what the last run has left in the log is part of the database, and
// to know where it is takes a file beside both. So both are copied into memory (a private mount of tmpfs), and
// read, and mended, there; the copy goes with the last descriptor. Returns its directory, empty if there is
// no catalog. The store's lock must be held. Throws Error.
UniqueFd CopyCatalog(int store_fd);

}  // namespace ckptfs
