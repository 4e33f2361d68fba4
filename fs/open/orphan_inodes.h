// The inodes of live trees that have no name but may be in use.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "backend/base/elastic_pool.h"
#include "backend/base/unique_fd.h"
#include "backend/interface/backend.h"
#include "fs/nodes/descriptor_shares.h"
#include "fs/nodes/node_id.h"
#include "fs/nodes/views.h"
#include "fs/open/inode_table.h"
#include "fs/open/link_change.h"

namespace ckptfs {

// Keeps inodes that lose their last name while in use until the kernel forgets them. The kernel does so when
// no process has them open or mapped, which is when a native filesystem would delete them.
//
// An open file is kept where a checkpoint finds it: under a link in the volume's hidden directory
// (catalog/store/unlinked_directory.h). There are three cases:
//
// - Its last name is removed while it is open (Removal). It is linked first; then the name is removed by the
//   same single call as without ckptfs. So other processes see the name and then do not, and a replacing
//   rename never leaves a gap. The kernel allows link(2) only for an inode that has a name.
// - It was created without a name (O_TMPFILE). The kernel allows it to be linked, so the first checkpoint
//   that finds it makes the link: most such files never see a checkpoint.
// - It was opened after it had lost its name (by an O_PATH descriptor, or by a lookup that an unlink
//   overtook), or the link could not be made. It can no longer be linked, so each checkpoint uses a temporary
//   copy, a reflink where the filesystem can. Such files are rare. All changes wait meanwhile, so all copies
//   together are limited to 100 ms: files not copied by then are left out and reported (GatheredOrphans).
//
// The link is hidden from users: their st_nlink does not count it. Therefore the attributes of such a file
// are not read while its links change (LinkChange).
//
// A file that is not open is kept by a descriptor (NameGone). A process may have its working directory in a
// removed directory, have an unlinked FIFO open, or be about to open a file that another process removes or
// replaces: the kernel has looked up the name and requests the node next. (It looks up a stale node's name
// again, but only once: where names change fast, a second miss would reach the program as ESTALE.) With the
// descriptor the node can still be reached by its number. Measured: this makes rm -r of 5,000 files 4%
// slower.
//
// Owned by the mount. Thread-safe. Lock order: a freeze lock, then a LinkChange.
class OrphanInodes {
 public:
  // One removal of the last name of an open file, by an unlink or a replacing rename. Constructed before the
  // removal, inside the freeze lock. Reads of the file's attributes wait until it ends.
  //
  // On disk before: the name. After the constructor: the name and the hidden link. After the removal: the
  // link. Power failure is possible at each point, so the next mount removes links in live trees, which
  // deletes the file only if it has no name left. No snapshot is taken in between.
  class Removal {
   public:
    // `path`: the name being removed. Never throws: the removal must not fail because the link does (the disk
    // may be full). Then `linked` is false.
    Removal(OrphanInodes& owner, NodeId node, const Volume& volume, int file_fd,
            const std::string& path);
    // Removes the link again unless Done was called.
    ~Removal();
    Removal(const Removal&) = delete;
    Removal& operator=(const Removal&) = delete;

    bool linked() const noexcept { return linked_; }
    // The name has been removed.
    void Done();

   private:
    const int file_fd_;
    UniqueFd directory_;
    bool linked_ = false;
    std::unique_ptr<LinkChange> change_;
  };

  explicit OrphanInodes(InodeTable& inodes) : inodes_(inodes) {}

  // A file was created without a name.
  void AddUnnamed(NodeId node, FormerName directory);
  // The last name of an inode that the kernel may still know has been removed, and there is no link. Without
  // a descriptor only `last` is kept. The view's slot must stay in use meanwhile (SlotTable::Count).
  void NameGone(NodeId node, UniqueFd fd, DescriptorClaim claim, FormerName last);

  // Whether it is a file that checkpoints must include. Costs nothing while there are none.
  bool Contains(NodeId node) const;
  // Whether the file has a link that must not be counted.
  bool HasLink(NodeId node) const;

  // statx(2) of the file behind `fd`, as StatxAt, without counting the hidden link.
  struct statx Stat(NodeId node, int fd) const;
  // The same for a name, as StatxIfThere. `files`: the slot of regular files in that directory.
  bool Stat(const View& files, int directory_fd, const char* name, struct statx* status) const;

  // Gives the file a name by calling `link`, which may throw, and stops keeping it here. After a power
  // failure between the two steps it has both; see Removal.
  void GiveName(NodeId node, const Volume& volume, int file_fd, const std::function<void()>& link);

  // The kernel has forgotten that node of the view or, if it is open, one of its lookups. Costs nothing while
  // there are no orphans. Works in the background: deleting a file may free much data, and waits at the
  // freeze lock.
  void Forget(NodeId node, const std::shared_ptr<View>& view);

 private:
  static constexpr size_t kForgettersMax = 8;

  void RemoveLink(NodeId node, const View& view);

  InodeTable& inodes_;
  // Its tasks are grouped by slot. Last: they use all of the above.
  ElasticPool forgetters_{std::chrono::seconds(5), kForgettersMax};
};

}  // namespace ckptfs
