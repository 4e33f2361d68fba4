// Opening or creating a store. Private to catalog/.
#pragma once

#include <memory>
#include <string>

#include "catalog/store/first_mount.h"
#include "catalog/store/store_context.h"

namespace ckptfs {

// Opens the store's directory. Creates it (0755) if it does not exist and `options` allow that, and records
// that in `made`. Throws ENOENT or ENOTDIR.
UniqueFd OpenStoreDirectory(const StoreOptions& options, MadeDirectory& made);

// Throws ENOTEMPTY if the directory is not a store and contains files that no store contains.
void RefuseForeignDirectory(int store_fd, const std::string& path);

// Finds, creates or rebuilds the catalog and opens the backend that it names: fills in all members of `store`
// up to the janitor. If it throws, the disk is unchanged.
void OpenCatalogAndBackend(StoreContext& store);

}  // namespace ckptfs
