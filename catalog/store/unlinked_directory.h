// The hidden directory of a volume for files that are open but have no name any more.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/own_names.h"
#include "backend/base/unique_fd.h"
#include "backend/interface/backend.h"

namespace ckptfs {

// A file without a name would be in no snapshot: nothing in the tree refers to it. So a live tree keeps open
// nameless files under a link in kUnlinkedName, a hidden directory in its volume's root, and a snapshot then
// contains them like any other file. The link is named by the file's inode number in the live tree, which is
// unique within the volume. The file's last path is stored in an extended attribute of the file.
//
// Only the process that serves the tree knows which files are open (class UnlinkedFiles). When that process
// starts, or when a new live tree has been made from a snapshot, nobody can have the files in there open:
// they are removed (ClearUnlinkedFiles). In a snapshot they stay for ever.
//
// The directory belongs to root, mode 0700: its files must not become readable to users who could not reach
// them by path, and the directories on that path are unknown here.
//
// Functions take an open volume, are thread-safe, and throw Error.

// The attribute. Only root can read trusted.*. A live tree neither shows it nor lets it be set, and an import
// does not copy it.
inline constexpr char kLastPathXattr[] = "trusted.ckptfs.last_path";

// A descriptor of the directory, for reading; not valid if it does not exist. EEXIST if its name belongs to
// something else.
UniqueFd OpenUnlinkedDirectory(const Volume& volume);

// The same, but creates it if needed, and preserves the root's mtime. It is never removed: an empty one costs
// nothing.
UniqueFd MakeUnlinkedDirectory(const Volume& volume);

// The name of a file's link.
std::string UnlinkedName(uint64_t inode);

// Both also take an O_PATH descriptor.
void SetLastPath(int file_fd, const std::string& path);
void ForgetLastPath(int file_fd);

// The path of an open directory of the volume, relative to its root, with a trailing slash. Empty for the
// root, and if the path is unknown (the directory has been removed).
std::string DirectoryPathIn(const Volume& volume, int directory_fd);

// Removes what a former process, or another live tree, has left there. Returns the number of files removed.
// On disk meanwhile: some of them are gone. If a file also has a name (the process died between two steps of
// UnlinkedFiles), only the link is removed.
uint64_t ClearUnlinkedFiles(const Volume& volume);

bool HasUnlinkedFiles(const Volume& volume);

struct UnlinkedFile {
  std::string name;  // in the directory
  std::string path;  // the last one, relative to the root; empty if unknown
  uint64_t size_bytes = 0;
  uint64_t allocated_bytes = 0;
};

// Sorted by path.
std::vector<UnlinkedFile> ListUnlinkedFiles(const Volume& volume);

}  // namespace ckptfs
