// The files of live trees that have no name but may be open.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/base/elastic_pool.h"
#include "backend/base/unique_fd.h"
#include "backend/interface/backend.h"
#include "fs/nodes/attributes.h"
#include "fs/nodes/freeze_lock.h"
#include "fs/nodes/nameless_files.h"
#include "fs/nodes/node_id.h"
#include "fs/nodes/views.h"
#include "fs/open/open_file_copy.h"

namespace ckptfs {

// Keeps files that lose their last name while they are open where a checkpoint finds them: under a
// link in the volume's hidden directory (catalog/store/unlinked_directory.h). A file comes here in one of
// three ways, and stays until the kernel forgets its node, which it does when nobody has it open or
// mapped any more: that is when a native filesystem would delete it.
//
// - Its last name goes while it is open (Removal). It gets the link first; then the name goes, by
//   the one call that would have been made anyway, so other processes see the name, then not, and
//   for a replacing rename never a moment without. The kernel lets only what has a name be linked.
// - It was made without a name (O_TMPFILE). The kernel lets it be linked, so this is left to the
//   first checkpoint that finds it: most such files never see one.
// - It was opened after it had lost its name (by an O_PATH descriptor; by a lookup that an unlink
//   overtook), or the link could not be made. It cannot be linked any more. Each checkpoint makes a
//   copy for the length of itself, by reference where the filesystem can. There are hardly ever any. As
//   everybody who changes something waits meanwhile, it takes no longer than kGatherMax for all of them:
//   what is not copied by then is left out, and told.
//
// The link is nobody's business: users see st_nlink without it. For that, whoever reads the
// attributes of such a file does so under the same lock under which links and names change.
//
// Owned by the mount. Any thread may call anything. Order of locks: a freeze lock, then this.
class UnlinkedFiles {
 public:
  using Place = NamelessFiles::Place;

  // One removal of the last name of a file that is open, by an unlink or a replacing rename. Made
  // before, inside the freeze lock; holds a lock until its end, so it takes no long.
  //
  // On disk before: the name. After the constructor: the name and the hidden link. After the
  // removal: the link. As power may go at each point, the next mount removes links in live trees,
  // which deletes the file only where no name is left. No snapshot is taken in between.
  class Removal {
   public:
    // `path`: that the file has. Never throws: the removal must not fail because of this (a disk may
    // be full). Then `linked` is false.
    Removal(UnlinkedFiles& owner, NodeId node, const Volume& volume, int file_fd,
            const std::string& path);
    // Takes the link back, unless Done was called.
    ~Removal();
    Removal(const Removal&) = delete;
    Removal& operator=(const Removal&) = delete;

    bool linked() const noexcept { return linked_; }
    // The name has gone.
    void Done();

   private:
    UnlinkedFiles& owner_;
    const NodeId node_;
    const int file_fd_;
    UniqueFd directory_;
    bool linked_ = false;
    std::unique_lock<std::shared_mutex> lock_;
  };

  // For as long as this exists, what a checkpoint copies holds all these files of a live tree.
  class Gathered {
   public:
    // `keep_copies`: the live tree itself becomes the snapshot.
    Gathered(UniqueFd directory, bool keep_copies)
        : directory_(std::move(directory)), keep_copies_(keep_copies) {}
    ~Gathered();
    Gathered(const Gathered&) = delete;
    Gathered& operator=(const Gathered&) = delete;

    uint64_t count() const noexcept { return linked_ + copies_.size(); }
    // Of files that are not found there.
    uint64_t left_out() const noexcept { return left_out_; }

   private:
    friend class UnlinkedFiles;
    UniqueFd directory_;
    bool keep_copies_;
    uint64_t linked_ = 0;
    uint64_t left_out_ = 0;
    std::vector<std::string> copies_;
  };

  // A file was made without a name.
  void AddUnnamed(NodeId node, Place directory);
  // A file was opened that has lost its name already, or lost it just then.
  void AddLost(NodeId node, Place last);

  // Costs nothing as long as there are none.
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

  // The kernel knows the node no longer. In the background: its end may mean deleting much data,
  // and waits at the freeze lock. `view` is that of the node.
  void ForgetLater(NodeId node, std::shared_ptr<View> view);

  // Whether nobody is writing to a file just now, nor can begin to.
  using IsStill = std::function<bool(NodeId)>;

  // Those with that slot of which the next Gather has to take the lock of the file underneath.
  std::vector<NodeId> ToBeLocked(Slot slot) const;

  // With the freeze lock closed: sees to it that all files of this kind with that slot are found in the
  // hidden directory of `volume`. Takes time only for those that were not at the last call. One for
  // which that fails is logged and left out: it is lost at a crash, as it would be natively. So is one
  // that is not still: a write(2) holds the lock of the file underneath for as long as it lasts, which may
  // be for ever.
  std::unique_ptr<Gathered> Gather(Slot slot, const Volume& volume, bool keep_copies,
                                   const IsStill& is_still);

 private:
  static constexpr std::chrono::milliseconds kGatherMax{100};
  static constexpr size_t kForgettersMax = 8;

  enum class Link { kImpossible, kPossible, kThere };
  struct File {
    Link link = Link::kImpossible;
    Place last;
  };
  struct Shard {
    mutable std::shared_mutex mutex;
    std::unordered_map<NodeId, File> files;
  };
  // What a checkpoint has to know of a live tree.
  struct SlotFiles {
    uint64_t linked = 0;
    std::set<NodeId> others;
  };
  static constexpr size_t kShards = 16;

  Shard& ShardOf(NodeId node) { return shards_[(node ^ node >> kInodeBits) % kShards]; }
  const Shard& ShardOf(NodeId node) const { return shards_[(node ^ node >> kInodeBits) % kShards]; }
  // Both with the shard locked.
  void Set(Shard& shard, NodeId node, File file);
  void Erase(Shard& shard, NodeId node);
  void Forget(NodeId node, const View& view);
  void GatherOne(NodeId node, const Volume& volume, Gathered& gathered, Deadline end);
  bool LinkOne(Shard& shard, NodeId node, const Volume& volume, const UniqueFd& directory);

  std::array<Shard, kShards> shards_;
  // Files and removals that are under way.
  std::atomic<uint64_t> count_{0};
  mutable std::mutex slots_mutex_;
  std::map<Slot, SlotFiles> slots_;
  // Of slots. Last: their tasks use all of the above.
  ElasticPool forgetters_{std::chrono::seconds(5), kForgettersMax};
};

}  // namespace ckptfs
