// Checkpoints, their deletion, and rollbacks.
#include <fmt/format.h>
#include <linux/fs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>

#include "tests/fsx/operations.h"

namespace ckptfs::fsx {
namespace {

constexpr size_t kSnapshotsMax = 8;

std::string OuterList(const World& world) {
  return fmt::format("{}/job-{}", world.options().snapshots, world.job());
}

// The list of the snapshots, seen from the mount's root or from the workspace's.
std::string List(World& world) {
  return world.OneIn(2) ? OuterList(world) : world.directory() + "/.snapshots";
}

std::set<std::string> ListedNames(World& world) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(List(world))) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

std::set<std::string> KnownNames(const World& world) {
  std::set<std::string> names;
  for (const Snapshot& snapshot : world.snapshots) names.insert(snapshot.name);
  return names;
}

void CheckNames(World& world) {
  if (ListedNames(world) != KnownNames(world)) {
    throw Mismatch(0, "the list of snapshots has others than were made");
  }
}

void ExpectDone(int result, const std::string& what) {
  if (result != 0) throw Mismatch(0, fmt::format("{}: {}", what, std::strerror(errno)));
}

size_t PickSnapshot(World& world) { return world.Below(world.snapshots.size()); }

std::string NewName(const World& world) { return fmt::format("s-{}", world.operation); }

// Files that have no name and are in use: with descriptors, or mapped for stores.
std::vector<InodePtr> NamelessFiles(const World& world) {
  std::map<const Inode*, InodePtr> found;
  const auto add = [&](const InodePtr& inode) {
    if (!inode->left_behind && LinkCount(world.live, *inode) == 0) {
      found.emplace(inode.get(), std::make_shared<Inode>(*inode));
    }
  };
  for (const Handle& handle : world.handles) add(handle.inode);
  for (const Mapping& mapping : world.mappings) {
    if (mapping.can_store()) add(mapping.inode_ptr());
  }
  std::vector<InodePtr> files;
  files.reserve(found.size());
  for (const auto& [inode, copy] : found) files.push_back(copy);
  return files;
}

void DeleteSnapshot(World& world, size_t number) {
  const std::string path = List(world) + "/" + world.snapshots[number].name;
  world.NoteAll("delete snapshot " + world.snapshots[number].name);
  ExpectDone(rmdir(path.c_str()), "rmdir " + path);
  world.snapshots.erase(world.snapshots.begin() + static_cast<std::ptrdiff_t>(number));
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) throw Mismatch(0, path + " is deleted, and still there");
  CheckNames(world);
}

void MakeRoom(World& world) {
  while (world.snapshots.size() >= kSnapshotsMax) DeleteSnapshot(world, PickSnapshot(world));
}

void Checkpoint(World& world) {
  MakeRoom(world);
  const std::string name = NewName(world);
  const std::string path = List(world) + "/" + name;
  world.NoteAll("checkpoint " + name);
  ExpectDone(mkdir(path.c_str(), 0755), "mkdir " + path);
  world.snapshots.push_back({.id = world.next_id++,
                             .name = name,
                             .tree = Copy(world.live),
                             .nameless = NamelessFiles(world)});
  CheckNames(world);
  if (world.OneIn(3)) CheckSnapshot(world, world.snapshots.back());
}

void CheckOne(World& world) {
  if (!world.snapshots.empty()) CheckSnapshot(world, world.snapshots[PickSnapshot(world)]);
}

void DeleteOne(World& world) {
  if (!world.snapshots.empty()) DeleteSnapshot(world, PickSnapshot(world));
}

void RenameOne(World& world) {
  if (world.snapshots.empty()) return;
  Snapshot& snapshot = world.snapshots[PickSnapshot(world)];
  const std::string list = List(world);
  const std::string name = NewName(world);
  world.NoteAll(fmt::format("rename snapshot {} to {}", snapshot.name, name));
  ExpectDone(rename((list + "/" + snapshot.name).c_str(), (list + "/" + name).c_str()),
             "rename a snapshot");
  snapshot.name = name;
  CheckNames(world);
}

// A rollback needs that nobody can write. Whoever only reads may stay, and sees what he saw.
void CloseWriters(World& world) {
  world.handles.remove_if([](const Handle& handle) { return handle.writable(); });
  world.DropMappings([](const Mapping& mapping) { return mapping.by_writer(); });
  if (world.OneIn(3)) world.handles.clear();
  if (world.OneIn(3)) world.mappings.clear();
}

// After a rollback by name a path through a directory that the kernel still knows may not be walked
// while another job renames: ckptfs(7) says to try again.
void WalkAgain(const World& world) {
  constexpr int kTriesMax = 1000;
  for (const char* name : {"/.snapshots", "/d", "/d/e"}) {
    struct stat status {};
    for (int i = 0; stat((world.directory() + name).c_str(), &status) != 0; ++i) {
      if (errno != ESTALE || i == kTriesMax) ExpectDone(-1, std::string("stat ") + name);
      usleep(1000);
    }
  }
}

// The model after a rollback to that tree has happened, which kept the state before as `kept`.
void TakeTree(World& world, const Tree& tree, uint64_t kept) {
  const auto leave_behind = [&](Inode& inode) {
    if (!inode.left_behind) inode.left_in = kept;
    inode.left_behind = true;
  };
  for (const auto& [name, inode] : world.live) leave_behind(*inode);
  for (const Handle& handle : world.handles) leave_behind(*handle.inode);
  for (const Mapping& mapping : world.mappings) leave_behind(mapping.inode());
  world.live = Copy(tree);
  CheckNames(world);
  world.CheckTree(world.directory(), world.live);
}

// A rollback keeps the state before as a snapshot, unless there is one like it. Returns its id, or 0.
uint64_t FindKeptState(World& world) {
  const std::set<std::string> known = KnownNames(world);
  std::vector<std::string> added;
  for (const std::string& name : ListedNames(world)) {
    if (!known.contains(name)) added.push_back(name);
  }
  if (added.size() > 1) throw Mismatch(0, "a rollback kept more than one state");
  if (added.empty()) {
    const auto& all = world.snapshots;
    if (std::any_of(all.begin(), all.end(),
                    [&](const Snapshot& s) { return SameContent(s.tree, world.live); })) {
      return 0;
    }
    throw Mismatch(0, "the state before the rollback is in no snapshot");
  }
  world.snapshots.push_back(
      {.id = world.next_id++, .name = added[0], .tree = Copy(world.live), .nameless = {}});
  CheckSnapshot(world, world.snapshots.back());
  return world.snapshots.back().id;
}

void RollBackTo(World& world, bool in_place) {
  if (world.snapshots.empty()) return;
  MakeRoom(world);
  const Snapshot snapshot = world.snapshots[PickSnapshot(world)];
  CloseWriters(world);
  world.NoteAll(
      fmt::format("roll back {} to {}", in_place ? "in place" : "by name", snapshot.name));
  const std::string list = in_place ? List(world) : OuterList(world);
  const std::string target = in_place ? list + "/.live" : world.directory();
  ExpectDone(rename((list + "/" + snapshot.name).c_str(), target.c_str()), "roll back");
  if (!in_place) WalkAgain(world);
  TakeTree(world, snapshot.tree, FindKeptState(world));
}

void RollBackInPlace(World& world) { RollBackTo(world, true); }
void RollBackByName(World& world) { RollBackTo(world, false); }

// The state before takes the snapshot's name.
void RollBackByExchange(World& world) {
  if (world.snapshots.empty()) return;
  Snapshot& snapshot = world.snapshots[PickSnapshot(world)];
  CloseWriters(world);
  world.NoteAll("exchange with " + snapshot.name);
  const std::string path = OuterList(world) + "/" + snapshot.name;
  ExpectDone(
      renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, world.directory().c_str(), RENAME_EXCHANGE),
      "exchange");
  WalkAgain(world);
  const Tree tree = snapshot.tree;
  snapshot.tree = Copy(world.live);
  snapshot.nameless.clear();
  snapshot.id = world.next_id++;
  TakeTree(world, tree, snapshot.id);
  CheckSnapshot(world, snapshot);
}

}  // namespace

void CheckSnapshot(World& world, Snapshot& snapshot) {
  const std::string path = List(world) + "/" + snapshot.name;
  world.NoteAll("check " + path);
  world.CheckTree(path, snapshot.tree);
  for (const auto& [name, inode] : snapshot.tree) inode->mtime_ns = inode->mtime_min_ns;
  // Files without a name have others there. There may be more of them: a descriptor that was closed
  // just now may still count.
  if (snapshot.nameless.empty()) return;
  std::multiset<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(path + "/.ckptfs-unlinked")) {
    std::ifstream file(entry.path(), std::ios::binary);
    found.emplace(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  for (const InodePtr& inode : snapshot.nameless) {
    const auto match = found.find(inode->bytes);
    if (match == found.end()) {
      throw Mismatch(inode->id, fmt::format("{}: file {}, open without a name, is not there", path,
                                            inode->id));
    }
    found.erase(match);
  }
}

std::vector<Operation> SnapshotOperations() {
  return {{"checkpoint", 6, Checkpoint},
          {"check a snapshot", 3, CheckOne},
          {"delete a snapshot", 4, DeleteOne},
          {"rename a snapshot", 1, RenameOne},
          {"roll back in place", 2, RollBackInPlace},
          {"roll back by name", 1, RollBackByName},
          {"roll back by exchange", 1, RollBackByExchange}};
}

}  // namespace ckptfs::fsx
