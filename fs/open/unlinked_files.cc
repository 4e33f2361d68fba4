#include "fs/open/unlinked_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "catalog/store/unlinked_directory.h"
#include "fs/nodes/live_workspace.h"
#include "fs/open/open_file_copy.h"

namespace ckptfs {
namespace {

std::string HiddenName(NodeId node) { return UnlinkedName(InodeOf(node)); }

void LinkInto(const UniqueFd& directory, const std::string& name, int file_fd) {
  const auto link = [&] {
    return linkat(file_fd, "", directory.get(), name.c_str(), AT_EMPTY_PATH);
  };
  int result = link();
  if (result != 0 && errno == EEXIST) {  // left by something that failed half-way
    unlinkat(directory.get(), name.c_str(), 0);
    result = link();
  }
  CheckSyscall(result, "link a file that is open into the hidden directory");
}

// `last` as a path, as far as that can be told now: its directory may have been moved or removed.
std::string PathOf(const Volume& volume, const UnlinkedFiles::Place& last) {
  try {
    if (last.directory.inode == volume.root_inode()) return last.name;
    const UniqueFd directory = volume.OpenInode(last.directory, O_PATH | O_DIRECTORY);
    return DirectoryPathIn(volume, directory.get()) + last.name;
  } catch (const Error&) {
    return last.name;
  }
}

}  // namespace

// --- The books -----------------------------------------------------------------------------------

void UnlinkedFiles::Set(Shard& shard, NodeId node, File file) {
  Erase(shard, node);
  {
    const std::lock_guard lock(slots_mutex_);
    SlotFiles& slot = slots_[SlotOf(node)];
    if (file.link == Link::kThere) {
      ++slot.linked;
    } else {
      slot.others.insert(node);
    }
  }
  shard.files.emplace(node, std::move(file));
  ++count_;
}

void UnlinkedFiles::Erase(Shard& shard, NodeId node) {
  const auto position = shard.files.find(node);
  if (position == shard.files.end()) return;
  {
    const std::lock_guard lock(slots_mutex_);
    SlotFiles& slot = slots_[SlotOf(node)];
    if (position->second.link == Link::kThere) {
      --slot.linked;
    } else {
      slot.others.erase(node);
    }
    if (slot.linked == 0 && slot.others.empty()) slots_.erase(SlotOf(node));
  }
  shard.files.erase(position);
  --count_;
}

void UnlinkedFiles::AddUnnamed(NodeId node, Place directory) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  Set(shard, node, {.link = Link::kPossible, .last = std::move(directory)});
}

void UnlinkedFiles::AddLost(NodeId node, Place last) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  if (shard.files.contains(node)) return;
  Set(shard, node, {.link = Link::kImpossible, .last = std::move(last)});
}

bool UnlinkedFiles::Contains(NodeId node) const {
  if (count_ == 0) return false;
  const Shard& shard = ShardOf(node);
  const std::shared_lock lock(shard.mutex);
  return shard.files.contains(node);
}

bool UnlinkedFiles::HasLink(NodeId node) const {
  if (count_ == 0) return false;
  const Shard& shard = ShardOf(node);
  const std::shared_lock lock(shard.mutex);
  const auto found = shard.files.find(node);
  return found != shard.files.end() && found->second.link == Link::kThere;
}

// --- Attributes ----------------------------------------------------------------------------------

// The count goes up before a link is made: who reads attributes with the link in them, and then the
// count, finds that it is not 0, and reads them again, after the removal under way.
struct statx UnlinkedFiles::Stat(NodeId node, int fd) const {
  struct statx status = StatxAt(fd, "");
  if (count_ == 0 || status.stx_nlink == 0 || !S_ISREG(status.stx_mode)) return status;
  const Shard& shard = ShardOf(node);
  const std::shared_lock lock(shard.mutex);
  status = StatxAt(fd, "");
  const auto found = shard.files.find(node);
  const bool linked = found != shard.files.end() && found->second.link == Link::kThere;
  if (linked && status.stx_nlink != 0) --status.stx_nlink;
  return status;
}

// A file that has a name has the hidden link beside it only for a moment, or after a failure.
bool UnlinkedFiles::Stat(const View& files, int directory_fd, const char* name,
                         struct statx* status) const {
  if (!StatxIfThere(directory_fd, name, status)) return false;
  if (count_ == 0 || status->stx_nlink < 2 || !S_ISREG(status->stx_mode)) return true;
  const NodeId node = MakeNumber(files.slot, status->stx_ino);
  const Shard& shard = ShardOf(node);
  const std::shared_lock lock(shard.mutex);
  const uint64_t inode = status->stx_ino;
  if (!StatxIfThere(directory_fd, name, status)) return false;
  const auto found = shard.files.find(node);
  const bool linked = found != shard.files.end() && found->second.link == Link::kThere;
  if (linked && status->stx_ino == inode && status->stx_nlink > 1) --status->stx_nlink;
  return true;
}

// --- Names that go and come ----------------------------------------------------------------------

UnlinkedFiles::Removal::Removal(UnlinkedFiles& owner, NodeId node, const Volume& volume,
                                int file_fd, const std::string& path)
    : owner_(owner), node_(node), file_fd_(file_fd), lock_(owner.ShardOf(node).mutex) {
  ++owner_.count_;
  try {
    directory_ = MakeUnlinkedDirectory(volume);
    Failpoint("unlinked.after-directory");
    SetLastPath(file_fd_, path);
    // On disk: a file with a name, and an attribute that nobody sees or minds.
    LinkInto(directory_, HiddenName(node_), file_fd_);
    linked_ = true;
    // On disk: the name and the link.
    Failpoint("unlinked.after-link");
  } catch (const std::exception& error) {
    spdlog::warn("{} has lost its last name while it is open: {}; it will be copied at checkpoints",
                 path, error.what());
  }
}

void UnlinkedFiles::Removal::Done() {
  if (!linked_) return;
  // On disk: the link only. A snapshot would keep the file, the next mount removes it.
  Failpoint("unlinked.after-removal");
  owner_.Set(owner_.ShardOf(node_), node_, {.link = Link::kThere, .last = {}});
  linked_ = false;
}

UnlinkedFiles::Removal::~Removal() {
  if (linked_) {
    if (unlinkat(directory_.get(), HiddenName(node_).c_str(), 0) != 0) {
      spdlog::error("a link that is not needed cannot be removed: {}; the next mount does it",
                    std::generic_category().message(errno));
    }
    try {
      ForgetLastPath(file_fd_);
    } catch (const Error& error) {
      spdlog::debug("{}", error.what());
    }
  }
  --owner_.count_;
}

void UnlinkedFiles::GiveName(NodeId node, const Volume& volume, int file_fd,
                             const std::function<void()>& link) {
  if (!Contains(node)) {
    link();
    return;
  }
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  link();
  const auto found = shard.files.find(node);
  if (found == shard.files.end()) return;
  if (found->second.link == Link::kThere) {
    Failpoint("unlinked.after-name");
    try {
      const UniqueFd directory = OpenUnlinkedDirectory(volume);
      CheckSyscall(unlinkat(directory.get(), HiddenName(node).c_str(), 0), "remove a hidden link");
      ForgetLastPath(file_fd);
    } catch (const Error& error) {
      // Counted and not shown as before, until the kernel forgets the file.
      spdlog::error("a file was given a name: {}", error.what());
      return;
    }
  }
  Erase(shard, node);
}

void UnlinkedFiles::ForgetLater(NodeId node, std::shared_ptr<View> view) {
  forgetters_.Post(SlotOf(node), [this, node, view = std::move(view)] {
    try {
      Forget(node, *view);
    } catch (const std::exception& error) {
      spdlog::error("a file that nobody has open any more: {}; the next mount removes it",
                    error.what());
    }
  });
}

void UnlinkedFiles::Forget(NodeId node, const View& view) {
  UniqueFd file;  // closed last, with no freeze lock or lock passed: it may mean deleting much
  // A checkpoint sees it or it does not, and has counted it then.
  const FreezeLock::Pass pass(view.workspace->freeze_lock(), node);
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.files.find(node);
  if (found == shard.files.end()) return;
  const bool linked = found->second.link == Link::kThere;
  Erase(shard, node);
  // After a rollback the volume is a snapshot, which keeps what it has, or is no more.
  if (!linked || view.workspace->live()->volume != view.volume) return;
  Failpoint("unlinked.before-forget");
  const UniqueFd directory = OpenUnlinkedDirectory(*view.volume);
  if (!directory.valid()) return;
  const std::string name = HiddenName(node);
  file.Reset(openat(directory.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  CheckSyscall(unlinkat(directory.get(), name.c_str(), 0), "remove its link");
  Failpoint("unlinked.after-forget");
}

// --- Checkpoints ---------------------------------------------------------------------------------

UnlinkedFiles::Gathered::~Gathered() {
  if (keep_copies_) return;
  for (const std::string& name : copies_) {
    if (unlinkat(directory_.get(), name.c_str(), 0) == 0) continue;
    spdlog::error("a copy of an open file cannot be removed: {}; the next mount does it",
                  std::generic_category().message(errno));
  }
}

std::vector<NodeId> UnlinkedFiles::ToBeLocked(Slot slot) const {
  const std::lock_guard lock(slots_mutex_);
  const auto found = slots_.find(slot);
  if (found == slots_.end()) return {};
  return {found->second.others.begin(), found->second.others.end()};
}

std::unique_ptr<UnlinkedFiles::Gathered> UnlinkedFiles::Gather(Slot slot, const Volume& volume,
                                                               bool keep_copies,
                                                               const IsStill& is_still) {
  const Deadline end = std::chrono::steady_clock::now() + kGatherMax;
  const std::vector<NodeId> others = ToBeLocked(slot);
  auto gathered = std::make_unique<Gathered>(
      others.empty() ? UniqueFd() : MakeUnlinkedDirectory(volume), keep_copies);
  for (const NodeId node : others) {
    if (!is_still(node)) {
      ++gathered->left_out_;
      continue;
    }
    try {
      GatherOne(node, volume, *gathered, end);
    } catch (const std::exception& error) {
      ++gathered->left_out_;
      spdlog::debug("an open file without a name is not in the checkpoint: {}", error.what());
    }
  }
  const std::lock_guard lock(slots_mutex_);
  const auto found = slots_.find(slot);
  if (found != slots_.end()) gathered->linked_ = found->second.linked;
  return gathered;
}

// False if it is none that can be linked. With the shard locked.
bool UnlinkedFiles::LinkOne(Shard& shard, NodeId node, const Volume& volume,
                            const UniqueFd& directory) {
  const auto found = shard.files.find(node);
  if (found == shard.files.end() || found->second.link != Link::kPossible) return false;
  const UniqueFd file = volume.OpenInode({.inode = InodeOf(node)}, O_PATH);
  SetLastPath(file.get(), PathOf(volume, found->second.last));
  LinkInto(directory, HiddenName(node), file.get());
  // On disk: a link like any other of an unlinked file.
  Failpoint("unlinked.after-gather-link");
  Set(shard, node, {.link = Link::kThere, .last = {}});
  return true;
}

void UnlinkedFiles::GatherOne(NodeId node, const Volume& volume, Gathered& gathered, Deadline end) {
  Shard& shard = ShardOf(node);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.files.find(node);
  if (found == shard.files.end()) return;
  const std::string path = PathOf(volume, found->second.last);
  RequireTime(end, path);
  if (LinkOne(shard, node, volume, gathered.directory_)) return;
  const std::string name = HiddenName(node);
  // On disk from here on: a copy, perhaps not whole, which the next mount removes.
  unlinkat(gathered.directory_.get(), name.c_str(), 0);  // one that could not be removed before
  try {
    const UniqueFd file = volume.OpenInode({.inode = InodeOf(node)}, O_RDONLY | O_NOATIME);
    const UniqueFd copy = CopyOpenFile(file.get(), gathered.directory_.get(), name, path, end);
    SetLastPath(copy.get(), path);
  } catch (...) {
    unlinkat(gathered.directory_.get(), name.c_str(), 0);
    throw;
  }
  gathered.copies_.push_back(name);
  Failpoint("unlinked.after-gather-copy");
}

}  // namespace ckptfs
