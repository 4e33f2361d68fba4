#include "backend/btrfs/changes.h"

#include <btrfsutil.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <utility>

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

NameChanges NamesBySend(int older_root_fd, int newer_root_fd, WorkLimits& limits) {
  StreamReplay replay(limits);
  ForEachSendCommand(older_root_fd, newer_root_fd, limits,
                     [&replay](const SendCommand& command) { replay.Apply(command); });
  return replay.Finish();
}

}  // namespace

DiffList CompareSubvolumesBySend(int older_root_fd, int newer_root_fd, WorkLimits& limits,
                                 Extent extent) {
  NameChanges names = NamesBySend(older_root_fd, newer_root_fd, limits);
  const SubvolumeFiles older(older_root_fd, limits);
  const SubvolumeFiles newer(newer_root_fd, limits);
  return ChangesFromNames(older, newer, std::move(names), extent);
}

DiffList CompareSubvolumesByWalk(int older_root_fd, int newer_root_fd, WorkLimits& limits,
                                 Extent extent) {
  const SubvolumeFiles older(older_root_fd, limits);
  const SubvolumeFiles newer(newer_root_fd, limits);
  return ChangesByWalking(older, newer, extent);
}

DiffList CompareSubvolumes(int older_root_fd, int newer_root_fd, PathBounds& bounds,
                           WorkLimits& limits, Extent extent) {
  RequireReadOnly(older_root_fd);
  RequireReadOnly(newer_root_fd);
  if (SubvolumeId(older_root_fd) == SubvolumeId(newer_root_fd)) return DiffList(limits);
  if (bounds.MayExceedPathMax(older_root_fd, newer_root_fd, limits)) {
    return CompareSubvolumesByWalk(older_root_fd, newer_root_fd, limits, extent);
  }
  try {
    return CompareSubvolumesBySend(older_root_fd, newer_root_fd, limits, extent);
  } catch (const LimitError& error) {
    if (error.errno_value() != E2BIG) throw;
    // A walk holds half as much.
  } catch (const Error& error) {
    spdlog::info("{}; both are walked through instead", error.what());
  }
  return CompareSubvolumesByWalk(older_root_fd, newer_root_fd, limits, extent);
}

}  // namespace ckptfs
