// Access to directories by a descriptor of the parent.
#pragma once

#include <dirent.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/unique_fd.h"

namespace ckptfs {

// Calls `visit` with each entry of a directory except "." and "..", in no particular order, until it returns
// false. `directory` is open for reading, at its beginning, and not shared: readdir's position belongs to the
// open file description. Throws Error, saying what was `attempted`.
void ForEachEntry(UniqueFd directory, std::string_view attempted,
                  const std::function<bool(const dirent& entry)>& visit);

// Names of all entries of a directory except "." and "..", in no particular order. Throws Error.
std::vector<std::string> ReadDirectory(int directory_fd);

// Whether the directory has an entry of that name, of any type. Throws Error.
bool HasEntry(int directory_fd, const std::string& name);

// Whether both descriptors refer to the same directory. Also false if that is unknown.
bool IsSameDirectory(int a, int b);

// Creates a directory accessible only to root, unless it exists. Throws Error.
void MakeDirectory(int parent_fd, const std::string& name);

// Removes the entry of that name and everything below it, if it exists; mounts below stay. Throws Error.
void RemoveTree(int parent_fd, const std::string& name);

// Opens a directory of the store without following symbolic links. `place` tells people where it should be.
// If it does not exist, throws Error ENOENT with `mend` as the remedy.
UniqueFd OpenStoreSubdirectory(int parent_fd, const std::string& name, const std::string& place,
                               const std::string& mend);

// The same, but not valid if there is no directory of that name. Throws Error if that is unknown.
UniqueFd TryOpenStoreSubdirectory(int parent_fd, const std::string& name);

}  // namespace ckptfs
