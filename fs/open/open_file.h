// A regular file that programs have open: what its opens requested and what the daemon keeps for it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "backend/base/unique_fd.h"
#include "fs/nodes/descriptor_shares.h"
#include "fs/nodes/node_id.h"

namespace ckptfs {

// How the kernel must serve an open file. All opens of an inode use the same way: the kernel fails with EIO
// an open that mixes ways or names a second backing id.
struct OpenReply {
  int backing_id = 0;        // 0: reads and writes come to the daemon
  bool keeps_pages = false;  // the kernel need not drop its cached pages
  bool uncached = false;     // the kernel must cache no pages: the file changes behind its back
  uint64_t handle = 0;
  bool first_writer = false;  // the file had no other writer
};

// One open of a file for writing, with what an EBUSY message reports.
struct WriterHandle {
  NodeId node = 0;
  pid_t pid = 0;                // TID of the opener
  uid_t user = 0;               // UID of the opener
  bool through_daemon = false;  // the kernel may hold its pages with stores from a mapping
  bool append_only = false;     // its writes go to AppendFd
  bool uncached = false;        // OpenReply::uncached
  int lost_writes = 0;          // errno that its next fsync must report; 0: none
};

// The requirements of an open.
struct OpenWish {
  bool for_writing = false;
  pid_t pid = 0;
  uid_t user = 0;
  bool may_pass_through = true;  // if it is the first open
  // On the first open, the kernel may read a small file through its page cache.
  bool may_use_page_cache = false;
  bool append_only = false;  // for writing: whether the file is append-only (chattr +a)
  bool is_new = false;       // the file has just been created
};

// How to open the underlying file. Called with the lock of the node's record held, so they must not use
// InodeTable: that rules out NodeResolver::Resolve and anything that sends a request to the mount. Waiting
// for the lease of MappedFiles::IsOpenUnderneath is safe: it is taken and released with the same lock held.
struct FileOpener {
  // For passthrough: O_PATH or O_RDONLY; with OpenWish::may_use_page_cache always O_RDONLY.
  std::function<UniqueFd()> for_passthrough;
  // For reading and, if possible, writing.
  std::function<UniqueFd()> for_daemon;
};

// Exists from the file's first open to its last release.
struct OpenFile {
  struct User {
    uid_t user = 0;
    uint32_t opens = 0;
  };

  // Add or remove one open. `user`: one of the users that have the file open is charged for its descriptors.
  void Add(uid_t user);
  void Remove(uid_t user);

  // Returns its handle.
  uint64_t AddWriter(NodeId node, const OpenWish& wish, const OpenReply& reply);
  // Null: not a writer's handle.
  WriterHandle* Writer(uint64_t handle) noexcept;
  std::optional<WriterHandle> TakeWriter(uint64_t handle);

  // Call after an open of a file with pages in the kernel's cache: updates what is known to have been read.
  void NotePages(bool keeps_pages);

  std::shared_ptr<const UniqueFd> any_fd() const {
    if (path_fd) return path_fd;
    return data_fd ? data_fd : append_fd;
  }

  int backing_id = 0;
  std::shared_ptr<const UniqueFd> path_fd;    // the backing id was made from it
  std::shared_ptr<const UniqueFd> data_fd;    // without a backing id; see OpenFiles::GiveFd
  bool can_write = false;                     // through data_fd
  std::shared_ptr<const UniqueFd> append_fd;  // for append_only handles
  bool append_only = false;                   // at its first open
  bool no_capability = false;                 // see OpenFiles::HasNoCapability
  uint32_t opens = 0;
  uint64_t read_end = 0;  // end of what the kernel may have read since it last dropped its pages
  std::list<WriterHandle> writers;  // a list: a handle is the address of its element
  std::vector<User> users;
  DescriptorClaim claim;
  DescriptorClaim append_claim;  // for append_fd
};

}  // namespace ckptfs
