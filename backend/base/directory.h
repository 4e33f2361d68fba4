// Directories that are reached by a descriptor of the one above.
#pragma once

#include <dirent.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/unique_fd.h"

namespace ckptfs {

// Calls `visit` with each entry of a directory but "." and "..", in no order, until it returns false.
// `directory` is open for reading, and stands at its beginning: readdir's position belongs to the open file, so
// it is nobody else's. Throws Error, saying what was `attempted`.
void ForEachEntry(UniqueFd directory, std::string_view attempted,
                  const std::function<bool(const dirent& entry)>& visit);

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
