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

// Only used when the previous state is destroyed, which is rare; all its names have to be remembered.
constexpr size_t kRememberedMax = 1'000'000;
constexpr std::chrono::milliseconds kLookUpMax{100};

// Calls `take` for each entry of a directory of the volume; not at all if the directory does not exist.
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

SettlingNames::SettlingNames(const Nodes& nodes, Invalidation& invalidation, bool can_expire_names,
                             std::shared_ptr<LiveWorkspace> workspace)
    : nodes_(nodes),
      invalidation_(invalidation),
      can_expire_names_(can_expire_names),
      workspace_(std::move(workspace)),
      stop_(*workspace_),
      walks_(*workspace_, invalidation.stopped_walks),
      root_(workspace_->root_node()) {
  invalidation_.kernel.InvalidateAttributes(root_);
  for (const NodeId directory : workspace_->directories().All()) {
    invalidation_.kernel.InvalidateAttributes(directory);
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
  Invalidation& invalidation = names->invalidation_;
  const std::shared_ptr<SettlingNames> shared = std::move(names);  // std::function tasks are copied
  invalidation.settlers.Post(static_cast<uint64_t>(shared->workspace_->id()), [shared] {
    try {
      shared->Run();
    } catch (const std::exception& error) {
      spdlog::error("names of the state before a rollback may be found: {}", error.what());
    }
  });
}

void SettlingNames::Run() {
  const MutexLock one_at_a_time(workspace_->settling());
  const auto live = workspace_->live();
  if (can_expire_names_ && live->volume) {
    DropUnused();
    const NodeId root = workspace_->root_node();
    if (root == root_) ExpireUsed(root, *live->volume);
    for (const NodeId directory : workspace_->directories().All()) {
      if (invalidation_.kernel.InvalidateAttributes(directory))
        ExpireUsed(directory, *live->volume);
    }
    for (const auto& [directory, name] : workspace_->TakeMovedNames()) {
      ExpireName(directory, name);
    }
    DropUnused();
  }
  SettleListings();
}

// A dropped directory has no place in the dcache until it is looked up: getcwd(2) would return ENOENT to a
// process standing below it. And of two concurrent lookups one might get ESTALE.
void SettlingNames::DropUnused() {
  const std::string name = nodes_.NameOf(workspace_->id());
  const NodeId root = workspace_->root_node();
  if (root == root_) {
    // Look it up first: it can be reached by name only if the dcache has the name.
    invalidation_.helper.LookUp(name, kLookUpMax);
    DropNamesBelow(kMountRootNode, name);
    invalidation_.helper.LookUp(name, kLookUpMax);
    if (nodes_.NameOf(workspace_->id()) != name && !workspace_->retired()) DropUnused();  // renamed
    return;
  }
  // Replaced by name: the known names are below the old root, which has no name any more, or were found in
  // the new one since.
  for (const std::string& directory : DirectoriesInRoot()) {
    DropNamesBelow(root_, directory);
    DropNamesBelow(root, directory);
    invalidation_.helper.LookUp(fmt::format("{}/{}", name, directory), kLookUpMax);
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
  } catch (const Error&) {  // of a tree that has since taken this one's place
  }
  return file;
}

void SettlingNames::ExpireName(NodeId directory, const std::string& name) {
  const LiveWorkspace::LockWait wait(*workspace_);
  invalidation_.kernel.ExpireName(directory, name);
}

void SettlingNames::DropNamesBelow(NodeId directory, const std::string& name) {
  const LiveWorkspace::LockWait wait(*workspace_);
  invalidation_.kernel.DropNamesBelow(directory, name);
}

void SettlingNames::AwaitLookups(NodeId directory) {
  const LiveWorkspace::LockWait wait(*workspace_);
  invalidation_.kernel.AwaitLookups(directory);
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

// Also drops a listing that was answered before the switch and cached after it.
void SettlingNames::SettleListings() {
  std::vector<NodeId> listed = workspace_->directories().TakeListed();
  listed.push_back(workspace_->root_node());
  for (const NodeId directory : listed) AwaitLookups(directory);
  invalidation_.invalidator.InvalidateContent(std::move(listed));
}

}  // namespace ckptfs
