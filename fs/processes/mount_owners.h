// The owners of mount namespaces.
#pragma once

#include <sys/stat.h>

#include <vector>

#include "fs/processes/foreign_mounts.h"

namespace ckptfs {

// Every user can create a user namespace with a mount namespace, and mount there on every directory that can
// be reached. Such mounts must not block verbs of a workspace that their owner has no right to. So this drops
// from `mounts` those in a namespace of a user who is neither root nor the owner of the workspace, unless
// others may write to it too. `root`: of the workspace. What such a mount covers or shows is lost to its
// user, as anything that is deleted.
void DropMountsOfStrangers(std::vector<ForeignMount>& mounts, const struct stat& root);

}  // namespace ckptfs
