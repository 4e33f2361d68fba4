// One regular file that programs have open: what its opens ask for, and what is kept of them.
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

// How the kernel is to serve an open file. An inode has one way at a time: the kernel answers EIO
// to an open that would mix them, or that names a second backing id.
struct OpenReply {
  int backing_id = 0;        // 0: reads and writes come to the daemon
  bool keeps_pages = false;  // and the kernel need not drop the pages that it has
  bool uncached = false;     // and the kernel keeps no pages: the file changes behind its back
  uint64_t handle = 0;
  bool first_writer = false;  // nobody had it open for writing before
};

// One open of a file for writing, as an EBUSY has to name it.
struct WriterHandle {
  NodeId node = 0;
  pid_t pid = 0;                // thread id of the opener
  uid_t user = 0;               // and whose it is
  bool through_daemon = false;  // the kernel may have pages of it that a mapping has stored to
  bool append_only = false;     // writes by it go to AppendFd
  bool uncached = false;        // OpenReply::uncached
  int lost_writes = 0;          // errno that its next fsync has to tell; 0: none
};

// What an open asks for.
struct OpenWish {
  bool for_writing = false;
  pid_t pid = 0;
  uid_t user = 0;
  bool may_pass_through = true;  // if it is the first
  // If it is the first, and the file is small, the kernel may read it through its page cache.
  bool may_use_page_cache = false;
  bool append_only = false;  // for writing: whether the file has that attribute (chattr +a)
  bool is_new = false;       // the file has just been made
};

// How an open file is reached. Each is called with the lock held under which the node's record is, and so
// must call nothing that looks into InodeTable: that rules out MountContext::Resolve, and whatever sends a
// request to the mount. To wait for the lease of MappedFiles::IsOpenUnderneath is safe: that is taken and
// given back with the same lock held.
struct FileOpener {
  // For passthrough, O_PATH or O_RDONLY; with OpenWish::may_use_page_cache the latter.
  std::function<UniqueFd()> for_passthrough;
  // To read and, if it can be had, write.
  std::function<UniqueFd()> for_daemon;
};

// Lives from the file's first open to its last release.
struct OpenFile {
  struct User {
    uid_t user = 0;
    uint32_t opens = 0;
  };

  // One more open, and one less. Whose it is: one of those who have it open pays for the descriptors.
  void Add(uid_t user);
  void Remove(uid_t user);

  // Returns its handle.
  uint64_t AddWriter(NodeId node, const OpenWish& wish, const OpenReply& reply);
  // Null if it is none of them.
  WriterHandle* Writer(uint64_t handle) noexcept;
  std::optional<WriterHandle> TakeWriter(uint64_t handle);

  // After an open of a file whose pages the kernel has: what of them is known to have been read.
  void NotePages(bool keeps_pages);

  std::shared_ptr<const UniqueFd> any_fd() const {
    if (path_fd) return path_fd;
    return data_fd ? data_fd : append_fd;
  }

  int backing_id = 0;
  std::shared_ptr<const UniqueFd> path_fd;    // what the backing id was made of
  std::shared_ptr<const UniqueFd> data_fd;    // without a backing id; see OpenFiles::GiveFd
  bool can_write = false;                     // by data_fd
  std::shared_ptr<const UniqueFd> append_fd;  // of handles that are append_only
  bool append_only = false;                   // when it was opened first
  bool no_capability = false;                 // see OpenFiles::HasNoCapability
  uint32_t opens = 0;
  uint64_t read_end = 0;  // of what the kernel may have read since it last dropped its pages
  std::list<WriterHandle> writers;  // list: a handle is the address of its element
  std::vector<User> users;
  DescriptorClaim claim;
  DescriptorClaim append_claim;  // for append_fd
};

}  // namespace ckptfs
