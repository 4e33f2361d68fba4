#include "fs/operations/settling_names.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <functional>

#include "backend/base/directory.h"
#include "backend/base/error.h"

namespace ckptfs {
namespace {

// For the state before is destroyed seldom, and has to be remembered whole.
constexpr size_t kRememberedMax = 1'000'000;
constexpr std::chrono::milliseconds kLookUpMax{100};

// Calls `take` for each entry of a directory of the volume; for none if it is not there.
void ForEachEntryOf(const Volume& volume, FileId directory,
                    const std::function<void(const dirent&)>& take) {
  try {
    ForEachEntry(OpenDirectory(volume, directory, O_RDONLY), "list a directory",
                 [&take](const dirent& entry) {
                   take(entry);
                   return true;
                 });
  } catch (const Error&) {  // gone
  }
}

}  // namespace

SettlingNames::SettlingNames(MountContext& mount, std::shared_ptr<LiveWorkspace> workspace)
    : mount_(mount),
      workspace_(std::move(workspace)),
      stop_(*workspace_),
      walks_(*workspace_, mount.stopped_walks),
      root_(workspace_->root_node()) {
  mount_.kernel.InvalidateAttributes(root_);
  for (const NodeId directory : workspace_->directories().All()) {
    mount_.kernel.InvalidateAttributes(directory);
  }
}

void SettlingNames::Remember(const Volume& before) {
  std::vector<NodeId> directories = workspace_->directories().All();
  directories.push_back(root_);
  for (const NodeId directory : directories) {
    ForEachEntryOf(before, FileOf(directory, before), [&](const dirent& entry) {
      if (remembered_.size() < kRememberedMax) remembered_.emplace(directory, entry.d_name);
    });
  }
}

void SettlingNames::Settle(std::unique_ptr<SettlingNames> names, std::shared_ptr<Volume> before) {
  names->before_ = std::move(before);
  MountContext& mount = names->mount_;
  const std::shared_ptr<SettlingNames> shared = std::move(names);  // as tasks are copied
  mount.settlers.Post(static_cast<uint64_t>(shared->workspace_->id()), [shared] {
    try {
      shared->Run();
    } catch (const std::exception& error) {
      spdlog::error("names of the state before a rollback may be found: {}", error.what());
    }
  });
}

void SettlingNames::Run() {
  const std::lock_guard one_at_a_time(workspace_->settling());
  const auto live = workspace_->live();
  if (mount_.can_expire_names && live->volume) {
    DropUnused();
    const NodeId root = workspace_->root_node();
    if (root == root_) ExpireUsed(root, *live->volume);
    for (const NodeId directory : workspace_->directories().All()) {
      if (mount_.kernel.InvalidateAttributes(directory)) ExpireUsed(directory, *live->volume);
    }
    for (const auto& [directory, name] : workspace_->TakeMovedNames()) {
      ExpireName(directory, name);
    }
    DropUnused();
  }
  SettleListings();
}

// What is dropped has no place in the kernel's books then, until it is looked up: whoever stands below it
// would be told ENOENT by getcwd(2). And of two that look it up at the same time one might be told ESTALE.
void SettlingNames::DropUnused() {
  const std::string name = mount_.NameOf(workspace_->id());
  const NodeId root = workspace_->root_node();
  if (root == root_) {
    // First looked up: by its name it is reached only if it has one in the kernel's books.
    mount_.helper.LookUp(name, kLookUpMax);
    DropNamesBelow(kMountRootNode, name);
    mount_.helper.LookUp(name, kLookUpMax);
    if (mount_.NameOf(workspace_->id()) != name && !workspace_->retired()) DropUnused();  // renamed
    return;
  }
  // Replaced by name: what is known is known below the old root, which has no name any more, or has been
  // found in the new one since.
  for (const std::string& directory : DirectoriesInRoot()) {
    DropNamesBelow(root_, directory);
    DropNamesBelow(root, directory);
    mount_.helper.LookUp(fmt::format("{}/{}", name, directory), kLookUpMax);
  }
}

std::vector<std::string> SettlingNames::DirectoriesInRoot() const {
  std::set<std::string> names;
  const auto take = [&](const dirent& entry) {
    if (entry.d_type == DT_DIR && workspace_->directories().Contains(entry.d_ino)) {
      names.insert(entry.d_name);
    }
  };
  const auto live = workspace_->live();
  if (live->volume) ForEachEntryOf(*live->volume, {.inode = live->volume->root_inode()}, take);
  if (before_) ForEachEntryOf(*before_, {.inode = before_->root_inode()}, take);
  for (const auto& [directory, name] : remembered_) {
    if (directory == root_) names.insert(name);
  }
  return {names.begin(), names.end()};
}

FileId SettlingNames::FileOf(NodeId directory, const Volume& volume) const {
  if (InodeOf(directory) == kRootInode) return {.inode = volume.root_inode()};
  FileId file{.inode = InodeOf(directory)};
  try {
    file.generation = workspace_->directories().GenerationOf(directory);
  } catch (const Error&) {  // of a tree that has had this one's place
  }
  return file;
}

void SettlingNames::ExpireName(NodeId directory, const std::string& name) {
  const LiveWorkspace::LockWait wait(*workspace_);
  mount_.kernel.ExpireName(directory, name);
}

void SettlingNames::DropNamesBelow(NodeId directory, const std::string& name) {
  const LiveWorkspace::LockWait wait(*workspace_);
  mount_.kernel.DropNamesBelow(directory, name);
}

void SettlingNames::AwaitLookups(NodeId directory) {
  const LiveWorkspace::LockWait wait(*workspace_);
  mount_.kernel.AwaitLookups(directory);
}

void SettlingNames::ExpireUsed(NodeId directory, const Volume& after) {
  AwaitLookups(directory);
  std::set<std::string> names;
  const auto take = [&](const dirent& entry) { names.insert(entry.d_name); };
  ForEachEntryOf(after, FileOf(directory, after), take);
  if (before_) ForEachEntryOf(*before_, FileOf(directory, *before_), take);
  for (auto name = remembered_.lower_bound({directory, ""});
       name != remembered_.end() && name->first == directory; ++name) {
    names.insert(name->second);
  }
  for (const std::string& name : names) ExpireName(directory, name);
}

// A listing that was answered before the switch and taken in since is dropped as well.
void SettlingNames::SettleListings() {
  std::vector<NodeId> listed = workspace_->directories().TakeListed();
  listed.push_back(workspace_->root_node());
  for (const NodeId directory : listed) AwaitLookups(directory);
  mount_.invalidator.InvalidateContent(std::move(listed));
}

}  // namespace ckptfs
