// Copies a whole directory tree: into a workspace for `ckpt init`, and out of one for `ckpt recover`.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ckptfs {

struct ImportProgress {
  uint64_t done_bytes = 0;
  uint64_t total_bytes = 0;
  uint64_t done_entries = 0;  // files and directories of any kind
  uint64_t total_entries = 0;
  std::string path;  // file being copied, relative to the source; any byte except NUL
};

// A directory that must not be part of the source, e.g. the store itself.
struct ForbiddenDirectory {
  dev_t device = 0;
  ino_t inode = 0;
  std::string what;  // "the store"
};

struct ImportOptions {
  // Called now and then while data is copied, from the calling thread. False: give up, with ECANCELED. May be
  // empty.
  std::function<bool(const ImportProgress&)> progress;
  // If false, a nested subvolume or mount point is refused; if true, it becomes an empty directory.
  bool leave_out_nested = false;
  // Space available at the destination. ENOSPC before anything is copied if the source needs more. Not
  // checked if the data can be shared by reflink, or if empty.
  std::optional<uint64_t> free_bytes;
  std::vector<ForbiddenDirectory> forbidden;
  // The root's extended attributes whose names begin so are not copied; empty: all are.
  std::string no_root_xattrs;
  // Whether to copy what chattr(1) sets, where the destination takes it.
  bool with_flags = false;
  // For errors: what is done to the tree, and the remedy if there is not enough space.
  std::string verb = "import";
  std::string make_space = "Delete snapshots, or free space: 'ckpt status' says on which disk";
};

struct ImportStats {
  uint64_t directories = 0;
  uint64_t files = 0;       // regular files, each counted once, however many links it has
  uint64_t hard_links = 0;  // additional names of these
  uint64_t others = 0;      // symlinks, FIFOs, sockets, devices
  uint64_t copied_bytes = 0;
  uint64_t shared_bytes = 0;  // by reflink
  // Regular files that have other links outside of the tree: the copy is no longer linked to those.
  uint64_t links_outside = 0;
  std::vector<std::string> left_out;  // nested subvolumes and mount points, if requested
  // Extended attributes specific to another system (security labels, properties of the source's filesystem)
  // that the destination does not take; with flags, also files with flags that it does not take.
  uint64_t attributes_left_out = 0;
};

// Copies everything below `source_fd` into the empty directory `destination_fd`, and the source directory's
// own attributes to it: contents (by reflink, else copy_file_range(2), else read and write) including holes,
// hard links among the files, symlinks, FIFOs, sockets, device nodes, owners, modes, extended attributes,
// ACLs and file capabilities, access and modification times to the nanosecond. Creation times are not copied,
// and inode flags (chattr(1)) only if requested; those of the root directory never are.
//
// Both are open directories (not O_PATH); everything below them is reached by descriptors and never through a
// symlink. Any depth; a bounded number of descriptors.
//
// Throws Error, with the relative path: EPERM if the source's root has a name that ckptfs reserves, EXDEV for
// nested subvolumes and mount points, ELOOP for a forbidden directory, ENOSPC, ECANCELED, EAGAIN if something
// in the source changed meanwhile, or the errno of a system call. The destination then contains a part of the
// tree, which the caller must remove. Nothing is synced.
ImportStats ImportTree(int source_fd, int destination_fd, const ImportOptions& options);

}  // namespace ckptfs
