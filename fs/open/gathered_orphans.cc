#include "fs/open/gathered_orphans.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <system_error>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "catalog/store/unlinked_directory.h"

namespace ckptfs {
namespace {

// For all files of one checkpoint: all changes wait meanwhile.
constexpr std::chrono::milliseconds kGatherMax{100};

// `last` as a path, as far as it is known: its directory may have been moved or removed.
std::string PathOf(const Volume& volume, const FormerName& last) {
  try {
    if (last.directory.inode == volume.root_inode()) return last.name;
    const UniqueFd directory = volume.OpenInode(last.directory, O_PATH | O_DIRECTORY);
    return DirectoryPathIn(volume, directory.get()) + last.name;
  } catch (const Error&) {
    return last.name;
  }
}

}  // namespace

GatheredOrphans::GatheredOrphans(InodeTable& inodes, Slot slot, const Volume& volume,
                                 bool keep_copies, const IsStill& is_still)
    : keep_copies_(keep_copies) {
  const Deadline end = std::chrono::steady_clock::now() + kGatherMax;
  const std::vector<NodeId> others = inodes.WithoutLink(slot);
  if (!others.empty()) directory_ = MakeUnlinkedDirectory(volume);
  for (const NodeId node : others) {
    if (!is_still(node)) {
      ++left_out_;
      continue;
    }
    try {
      LinkChange change(inodes, node);
      Gather(change, volume, end);
    } catch (const std::exception& error) {
      ++left_out_;
      spdlog::debug("an open file without a name is not in the checkpoint: {}", error.what());
    }
  }
  linked_ = inodes.CountLinked(slot);
}

GatheredOrphans::~GatheredOrphans() {
  if (keep_copies_) return;
  for (const std::string& name : copies_) {
    if (unlinkat(directory_.get(), name.c_str(), 0) == 0) continue;
    spdlog::error("a copy of an open file cannot be removed: {}; the next mount does it",
                  std::generic_category().message(errno));
  }
}

void GatheredOrphans::Gather(LinkChange& change, const Volume& volume, Deadline end) {
  const Orphan::Link link = change.link();
  const bool is_missing = link == Orphan::Link::kPossible || link == Orphan::Link::kImpossible;
  if (!is_missing) return;  // it has gone since it was listed
  const std::string path = PathOf(volume, change.last());
  RequireTime(end, path);
  if (link == Orphan::Link::kPossible) {
    Link(change, volume, path);
  } else {
    Copy(change, volume, path, end);
  }
}

void GatheredOrphans::Link(LinkChange& change, const Volume& volume, const std::string& path) {
  const UniqueFd file = volume.OpenInode({.inode = InodeOf(change.node())}, O_PATH);
  SetLastPath(file.get(), path);
  change.MakeLink(directory_, file.get());
  // On disk: a link, the same as for any unlinked file.
  Failpoint("unlinked.after-gather-link");
  change.SetLinked();
}

void GatheredOrphans::Copy(const LinkChange& change, const Volume& volume, const std::string& path,
                           Deadline end) {
  const std::string& name = change.name();
  // On disk from here on: a copy, perhaps partial, which the next mount removes.
  unlinkat(directory_.get(), name.c_str(), 0);  // a leftover that could not be removed before
  try {
    const UniqueFd file = volume.OpenInode({.inode = InodeOf(change.node())}, O_RDONLY | O_NOATIME);
    const UniqueFd copy = CopyOpenFile(file.get(), directory_.get(), name, path, end);
    SetLastPath(copy.get(), path);
  } catch (...) {
    unlinkat(directory_.get(), name.c_str(), 0);
    throw;
  }
  copies_.push_back(name);
  Failpoint("unlinked.after-gather-copy");
}

}  // namespace ckptfs
