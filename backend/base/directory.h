// Directories that are reached by a descriptor of the one above.
#pragma once

#include <string>
#include <vector>

#include "backend/base/unique_fd.h"

namespace ckptfs {

// Names of all entries of a directory but "." and "..", in no order. Throws Error.
std::vector<std::string> ReadDirectory(int directory_fd);

// True if something, of whatever kind, has that name in a directory. Throws Error.
bool HasEntry(int directory_fd, const std::string& name);

// True if both descriptors are of one directory. False also where that cannot be told.
bool IsSameDirectory(int a, int b);

// Makes a directory for root alone, if it is not there. Throws Error.
void MakeDirectory(int parent_fd, const std::string& name);

// Removes what has that name, and all below it, if it is there; what is mounted there stays. Throws Error.
void RemoveTree(int parent_fd, const std::string& name);

// A directory of the store, which no symbolic link leads to. `place` says for people where it should be;
// throws Error ENOENT with `mend` as what to do if there is none.
UniqueFd OpenStoreSubdirectory(int parent_fd, const std::string& name, const std::string& place,
                               const std::string& mend);

// The same; not valid where no directory of that name is. Throws Error for what cannot be told.
UniqueFd TryOpenStoreSubdirectory(int parent_fd, const std::string& name);

}  // namespace ckptfs
