#include "backend/btrfs/changes.h"

#include <btrfsutil.h>
#include <spdlog/spdlog.h>

#include <cerrno>

#include "backend/base/error.h"
#include "backend/btrfs/btrfs_util.h"
#include "backend/btrfs/send_stream.h"
#include "backend/btrfs/stream_replay.h"
#include "backend/btrfs/subvolume_files.h"
#include "backend/compare/comparison.h"

namespace ckptfs {
namespace {

void RequireReadOnly(int root_fd) {
  bool read_only = false;
  CheckBtrfsUtil(btrfs_util_get_subvolume_read_only_fd(root_fd, &read_only),
                 "find out whether a subvolume is read-only");
  if (!read_only) throw Error(EINVAL, "compare two subvolumes", "one of them is writable");
}

}  // namespace

std::vector<Change> CompareSubvolumesBySend(int older_root_fd, int newer_root_fd) {
  StreamReplay replay;
  ForEachSendCommand(older_root_fd, newer_root_fd,
                     [&replay](const SendCommand& command) { replay.Apply(command); });
  const SubvolumeFiles older(older_root_fd);
  const SubvolumeFiles newer(newer_root_fd);
  return ChangesFromNames(older, newer, replay.Finish());
}

std::vector<Change> CompareSubvolumesByWalk(int older_root_fd, int newer_root_fd) {
  const SubvolumeFiles older(older_root_fd);
  const SubvolumeFiles newer(newer_root_fd);
  return ChangesByWalking(older, newer);
}

std::vector<Change> CompareSubvolumes(int older_root_fd, int newer_root_fd, PathBounds& bounds) {
  RequireReadOnly(older_root_fd);
  RequireReadOnly(newer_root_fd);
  if (SubvolumeId(older_root_fd) == SubvolumeId(newer_root_fd)) return {};
  if (bounds.MayExceedPathMax(older_root_fd, newer_root_fd)) {
    return CompareSubvolumesByWalk(older_root_fd, newer_root_fd);
  }
  try {
    return CompareSubvolumesBySend(older_root_fd, newer_root_fd);
  } catch (const Error& error) {
    spdlog::info("{}; both are walked through instead", error.what());
  }
  return CompareSubvolumesByWalk(older_root_fd, newer_root_fd);
}

}  // namespace ckptfs
