// How a store is opened, or made. Private to catalog/.
#pragma once

#include <memory>
#include <string>

#include "catalog/store/first_mount.h"
#include "catalog/store/store_context.h"

namespace ckptfs {

// Opens the store's directory. Made (0755) if it is not there and `options` allow that, and
// noted in `made`. Throws ENOENT or ENOTDIR.
UniqueFd OpenStoreDirectory(const StoreOptions& options, MadeDirectory& made);

// Throws ENOTEMPTY if the directory holds things that no store holds, and is none.
void RefuseForeignDirectory(int store_fd, const std::string& path);

// Finds, makes or rebuilds the catalog and opens the backend that it names: fills in everything of
// `store` up to the janitor. What is on disk stays as it is when it throws.
void OpenCatalogAndBackend(StoreContext& store);

}  // namespace ckptfs
