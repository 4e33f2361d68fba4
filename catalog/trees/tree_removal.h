// Removing a tree of files.
#pragma once

namespace ckptfs {

enum class Protection { kRespect, kRemove };

// Removes everything in the directory `directory_fd`, but not the directory itself. `protection`: whether to
// remove files that are immutable or append-only (chattr(1)), too. Throws Error at the first
// entry that cannot be removed; EXDEV, with nothing below it removed, at a mount point or subvolume.
void RemoveTreeContents(int directory_fd, Protection protection = Protection::kRespect);

}  // namespace ckptfs
