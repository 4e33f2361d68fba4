#include "catalog/trees/tree_removal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "backend/base/error.h"
#include "backend/base/text.h"
#include "catalog/trees/inode_flags.h"
#include "catalog/trees/tree_walk.h"

namespace ckptfs {
namespace {

class Removal : public TreeVisitor {
 public:
  explicit Removal(Protection protection) : protection_(protection) {}

  void Enter(const TreeEntry& entry, int directory_fd) override {
    if (IsToUnprotect(entry)) RemoveProtection(directory_fd);
    // A directory that denies its own owner to write. If this fails, so does what is removed from it.
    constexpr mode_t kOwnersRights = 0700;
    if ((entry.info.stx_mode & kOwnersRights) == kOwnersRights) return;
    fchmod(directory_fd, (entry.info.stx_mode & 07777) | kOwnersRights);
  }
  void Visit(const TreeEntry& entry) override {
    if (IsToUnprotect(entry) && S_ISREG(entry.info.stx_mode)) {
      const UniqueFd file =
          OpenEntry(entry.parent_fd, entry.name, O_RDONLY | O_NONBLOCK, entry.path);
      RemoveProtection(file.get());
    }
    Unlink(entry, 0);
  }
  void Nested(const TreeEntry& entry) override {
    throw Error(EXDEV, "remove " + Printable(entry.path), "it is a mount point or subvolume");
  }
  void Leave(const TreeEntry& /*entry*/, int /*directory_fd*/) override {}
  void Left(const TreeEntry& entry) override { Unlink(entry, AT_REMOVEDIR); }

 private:
  bool IsToUnprotect(const TreeEntry& entry) const {
    return protection_ == Protection::kRemove && IsProtected(entry.info);
  }

  static void Unlink(const TreeEntry& entry, int flags) {
    CheckOn(entry.path, "remove", unlinkat(entry.parent_fd, entry.name.c_str(), flags));
  }

  Protection protection_;
};

}  // namespace

void RemoveTreeContents(int directory_fd, Protection protection) {
  Removal removal(protection);
  WalkTree(directory_fd, removal);
}

}  // namespace ckptfs
