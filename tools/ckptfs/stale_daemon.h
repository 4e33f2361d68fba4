// The previous daemon of a store.
#pragma once

#include <memory>
#include <string>

#include "catalog/store/store.h"

namespace ckptfs {

// If the daemon of the store at `store_path` has been killed but has not ended: aborts those of its mounts
// that this process sees. One of its threads may be waiting in the kernel for the disk, or for the lock of a
// directory whose holder waits for this daemon's reply (it was invalidating a name where somebody created
// one). In the second case neither would ever end; in both, everyone who accesses the mount would wait too.
// Must be called before anybody does.
void AbortMountsOfKilled(const std::string& store_path);

// Like Store::Open. umount(8) returns before the daemon has finished its work, and a killed daemon may be
// about to end: waits for that, at most half a minute. A daemon that is serving is refused at once.
std::unique_ptr<Store> OpenAfterStaleDaemon(const StoreOptions& options);

}  // namespace ckptfs
