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

// A file without a name is in no snapshot: nothing in a tree refers to it. So a live tree keeps one
// that somebody still has open under a link in kUnlinkedName, a directory in its volume's root that
// it never shows, and a snapshot then holds it like any other file. The link is named by the file's
// inode number in the live tree, which no other file of the volume has at the same time. With it
// goes the path that the file had last, in an extended attribute of the file.
//
// Who has which file open is known to the process that serves the tree and to nobody else (class
// OrphanInodes). What is found in a live tree when that process starts, or in a new live tree that
// was made from a snapshot, nobody can have open: it is removed (ClearUnlinkedFiles). In a snapshot
// it stays for ever.
//
// The directory belongs to root, mode 0700: a file there must not become readable to somebody who
// could not have reached it by its path, and of the directories on that path nothing is known there.
//
// Functions take an open volume, may be called by any thread, and throw Error.

// The attribute. Only root can read one of trusted.*, and none of it is shown in a live tree, nor can be
// set there, nor is taken over by an import.
inline constexpr char kLastPathXattr[] = "trusted.ckptfs.last_path";

// A descriptor of the directory, for reading; not valid if there is none. EEXIST if something else
// has its name.
UniqueFd OpenUnlinkedDirectory(const Volume& volume);

// The same, and makes it if there is none; the root's mtime stays what it was. It is never removed:
// an empty one costs nothing.
UniqueFd MakeUnlinkedDirectory(const Volume& volume);

// What links are named.
std::string UnlinkedName(uint64_t inode);

// Both take an O_PATH descriptor, too.
void SetLastPath(int file_fd, const std::string& path);
void ForgetLastPath(int file_fd);

// The path of an open directory of the volume, relative to its root, with a slash at the end; empty
// for the root, and if it cannot be told (the directory has been removed).
std::string DirectoryPathIn(const Volume& volume, int directory_fd);

// Removes what a process that is no more, or another live tree, has left there. Returns how many
// files that were. On disk at any moment in it: some of them less. Of a link whose file has a name
// too (the process died between two steps of OrphanInodes) only the link goes.
uint64_t ClearUnlinkedFiles(const Volume& volume);

bool HasUnlinkedFiles(const Volume& volume);

struct UnlinkedFile {
  std::string name;  // in the directory
  std::string path;  // the last one, relative to the root; empty if not known
  uint64_t size_bytes = 0;
  uint64_t allocated_bytes = 0;
};

// By path.
std::vector<UnlinkedFile> ListUnlinkedFiles(const Volume& volume);

}  // namespace ckptfs
