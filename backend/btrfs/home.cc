#include "backend/btrfs/home.h"

#include "backend/base/directory.h"

namespace ckptfs {
void OpenHomeDirectories(BtrfsHome* home, const std::string& place, const std::string& mend) {
  home->volumes = OpenStoreSubdirectory(home->root.get(), kVolumesDirectory, place, mend);
  home->meta = OpenStoreSubdirectory(home->root.get(), kMetaDirectory, place, mend);
}

}  // namespace ckptfs
