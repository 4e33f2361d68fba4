// The daemon that had a store before this one.
#pragma once

#include <memory>
#include <string>

#include "catalog/store/store.h"

namespace ckptfs {

// Where the daemon of the store at `store_path` has been killed and has not ended: aborts its mounts that
// this process sees. A thread of it may wait in the kernel, for the disk, or for the lock of a directory
// whose holder waits for this daemon's answer (it was invalidating a name where somebody made one). In the
// second case neither would ever end, and in both all who look at the mount would wait with them. To be
// called before anybody does.
void AbortMountsOfKilled(const std::string& store_path);

// Store::Open. umount(8) returns before the daemon has put everything in order, and one that was killed may
// be about to end: that is waited for, half a minute at most. One that serves is refused at once.
std::unique_ptr<Store> OpenAfterStaleDaemon(const StoreOptions& options);

}  // namespace ckptfs
