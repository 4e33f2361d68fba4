// Who has made a mount namespace.
#pragma once

#include <sys/stat.h>

#include <vector>

#include "fs/processes/foreign_mounts.h"

namespace ckptfs {

// Every user can make a mount namespace in a user namespace, and mount there on every directory that can be
// walked to. So of `mounts` those go that stand in the way of a workspace for which their owner is no match: in
// a namespace that belongs to a user who is neither root nor the owner of the workspace, unless others may write
// it too. `root`: of the workspace. What such a mount covers, or shows, is taken away from its user as anything
// is that is deleted.
void DropMountsOfStrangers(std::vector<ForeignMount>& mounts, const struct stat& root);

}  // namespace ckptfs
