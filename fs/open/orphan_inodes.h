// The inodes of live trees that have no name, but may be in use.
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

// Keeps inodes that lose their last name while they are in use, until the kernel forgets them, which it does
// when nobody has them open or mapped any more: that is when a native filesystem would delete them.
//
// A file that is open is kept where a checkpoint finds it: under a link in the volume's hidden directory
// (catalog/store/unlinked_directory.h). It comes here in one of three ways:
//
// - Its last name goes while it is open (Removal). It gets the link first; then the name goes, by
//   the one call that would have been made anyway, so other processes see the name, then not, and
//   for a replacing rename never a moment without. The kernel lets only what has a name be linked.
// - It was made without a name (O_TMPFILE). The kernel lets it be linked, so this is left to the
//   first checkpoint that finds it: most such files never see one.
// - It was opened after it had lost its name (by an O_PATH descriptor; by a lookup that an unlink
//   overtook), or the link could not be made. It cannot be linked any more. Each checkpoint makes a
//   copy for the length of itself, by reference where the filesystem can. There are hardly ever any. As
//   everybody who changes something waits meanwhile, it takes no longer than 100 ms for all of them:
//   what is not copied by then is left out, and told (GatheredOrphans).
//
// The link is nobody's business: users see st_nlink without it. For that, attributes of such a file are not
// read while its links change (LinkChange).
//
// What is not open is kept by a descriptor (NameGone). A process may stand in a directory that is removed,
// have a FIFO open that is unlinked, or be about to open the file that somebody else removes or replaces: the
// kernel has looked the name up and asks for the node next. (It looks a stale node's name up anew, but only
// once: where names come and go fast, a second loss in a row would reach the program, as ESTALE.) So it can
// still be reached by its number. Measured: rm -r of 5,000 files takes 4% longer by it.
//
// Owned by the mount. Any thread may call anything. Order: a freeze lock, then a LinkChange.
class OrphanInodes {
 public:
  // One removal of the last name of a file that is open, by an unlink or a replacing rename. Made
  // before, inside the freeze lock. Whoever asks for the file's attributes waits until it ends.
  //
  // On disk before: the name. After the constructor: the name and the hidden link. After the
  // removal: the link. As power may go at each point, the next mount removes links in live trees,
  // which deletes the file only where no name is left. No snapshot is taken in between.
  class Removal {
   public:
    // `path`: that the file has. Never throws: the removal must not fail because of this (a disk may
    // be full). Then `linked` is false.
    Removal(OrphanInodes& owner, NodeId node, const Volume& volume, int file_fd,
            const std::string& path);
    // Takes the link back, unless Done was called.
    ~Removal();
    Removal(const Removal&) = delete;
    Removal& operator=(const Removal&) = delete;

    bool linked() const noexcept { return linked_; }
    // The name has gone.
    void Done();

   private:
    const int file_fd_;
    UniqueFd directory_;
    bool linked_ = false;
    std::unique_ptr<LinkChange> change_;
  };

  explicit OrphanInodes(InodeTable& inodes) : inodes_(inodes) {}

  // A file was made without a name.
  void AddUnnamed(NodeId node, FormerName directory);
  // The last name of what the kernel may still know has gone, and there is no link to it. Without a descriptor
  // only `last` is kept. The view's slot must not end meanwhile (SlotTable::Count).
  void NameGone(NodeId node, UniqueFd fd, DescriptorClaim claim, FormerName last);

  // Whether it is a file that a checkpoint has to have. Costs nothing as long as there are none.
  bool Contains(NodeId node) const;
  // Whether the file has a link that is not to be counted.
  bool HasLink(NodeId node) const;

  // statx(2), as StatxAt, of the file behind `fd`, without the hidden link.
  struct statx Stat(NodeId node, int fd) const;
  // Of a name, as StatxIfThere. `files`: the slot of regular files in that directory.
  bool Stat(const View& files, int directory_fd, const char* name, struct statx* status) const;

  // Gives the file a name by `link`, which may throw, and lets go of it here. If power goes between
  // the two, it has both; see Removal.
  void GiveName(NodeId node, const Volume& volume, int file_fd, const std::function<void()>& link);

  // The kernel knows the node, which is one of that view, no longer; or, if it is open, by one lookup less.
  // Costs nothing as long as there are no orphans. The rest is done in the background: the end of a file may
  // mean deleting much data, and waits at the freeze lock.
  void Forget(NodeId node, const std::shared_ptr<View>& view);

 private:
  static constexpr size_t kForgettersMax = 8;

  void RemoveLink(NodeId node, const View& view);

  InodeTable& inodes_;
  // Of slots. Last: their tasks use all of the above.
  ElasticPool forgetters_{std::chrono::seconds(5), kForgettersMax};
};

}  // namespace ckptfs
