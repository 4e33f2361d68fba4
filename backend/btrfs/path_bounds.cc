#include "backend/btrfs/path_bounds.h"

#include <endian.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/base/error.h"
#include "backend/btrfs/btrfs_util.h"
#include "backend/btrfs/tree_search.h"

namespace ckptfs {
namespace {

// While the kernel follows moves it combines path components of both volumes with its own names ("o257-12-0")
// for files that are in the way.
constexpr size_t kRoomForOwnNames = 512;
constexpr size_t kRememberedMax = 10'000;
// The memory of a directory in a map, as allocated, and while the map grows.
constexpr size_t kDirectoryBytes = 112;

using Uuid16 = std::array<uint8_t, 16>;

btrfs_ioctl_get_subvol_info_args InfoOf(int root_fd) {
  btrfs_ioctl_get_subvol_info_args info{};
  CheckSyscall(ioctl(root_fd, BTRFS_IOC_GET_SUBVOL_INFO, &info), "ask for a subvolume's past");
  return info;
}

Uuid16 ToUuid(const uint8_t (&bytes)[BTRFS_UUID_SIZE]) {
  Uuid16 uuid{};
  std::copy(std::begin(bytes), std::end(bytes), uuid.begin());
  return uuid;
}

// What a subvolume was made from, and in which transaction.
struct Origin {
  Uuid16 source{};  // zeros: nothing
  uint64_t transaction = 0;
};

// The origin of the subvolume `uuid`; empty if that is gone.
Origin OriginOf(int fd, const Uuid16& uuid) {
  uint64_t halves[2] = {};
  std::memcpy(halves, uuid.data(), uuid.size());
  uint64_t id = 0;
  const TreeRange by_uuid{.tree_id = BTRFS_UUID_TREE_OBJECTID,
                          .min_objectid = le64toh(halves[0]),
                          .max_objectid = le64toh(halves[0]),
                          .min_type = BTRFS_UUID_KEY_SUBVOL,
                          .max_type = BTRFS_UUID_KEY_SUBVOL};
  SearchTree(fd, by_uuid, [&](const TreeItem& item) {
    if (item.offset != le64toh(halves[1]) || item.data.size() < sizeof(id)) return;
    std::memcpy(&id, item.data.data(), sizeof(id));
    id = le64toh(id);
  });
  Origin origin;
  if (id == 0) return origin;
  const TreeRange root{.tree_id = BTRFS_ROOT_TREE_OBJECTID,
                       .min_objectid = id,
                       .max_objectid = id,
                       .min_type = BTRFS_ROOT_ITEM_KEY,
                       .max_type = BTRFS_ROOT_ITEM_KEY};
  SearchTree(fd, root, [&](const TreeItem& item) {
    btrfs_root_item found{};
    if (item.data.size() < sizeof(found)) return;
    std::memcpy(&found, item.data.data(), sizeof(found));
    origin = {.source = ToUuid(found.parent_uuid), .transaction = le64toh(found.otransid)};
  });
  return origin;
}

// Whether the state `newer` derives from the state `older` by changes, so that everything it does not share
// was written since. A subvolume that has not changed since it was made equals a state of its source.
bool Follows(int older_root_fd, int newer_root_fd) {
  const auto older = InfoOf(older_root_fd);
  const auto newer = InfoOf(newer_root_fd);
  const Uuid16 older_uuid = ToUuid(older.uuid);
  const Uuid16 older_source = ToUuid(older.parent_uuid);
  const Uuid16 newer_source = ToUuid(newer.parent_uuid);
  const bool older_is_a_state = older_source != Uuid16{} && older.ctransid <= older.otransid;
  if (older_is_a_state && older_source == ToUuid(newer.uuid)) return true;
  if (older_is_a_state && older_source == newer_source) return older.otransid < newer.otransid;
  if (newer_source == older_uuid) return older.ctransid <= newer.otransid;
  const Origin between = OriginOf(newer_root_fd, newer_source);
  return between.source == older_uuid && older.ctransid <= between.transaction;
}

struct Entry {
  uint64_t directory = 0;
  uint64_t inode = 0;
  std::string_view name;
  bool is_directory = false;
};

// Calls `visit` with the directory entries that were written since that transaction.
template <typename Visit>
void ForEachEntry(int root_fd, uint64_t since, const Visit& visit) {
  const TreeRange range{.tree_id = 0,  // that of root_fd
                        .min_objectid = kSubvolumeRootInode,
                        .max_objectid = BTRFS_LAST_FREE_OBJECTID,
                        .min_type = BTRFS_DIR_INDEX_KEY,
                        .max_type = BTRFS_DIR_INDEX_KEY,
                        .min_transaction = since};
  SearchTree(root_fd, range, [&visit](const TreeItem& item) {
    btrfs_dir_item entry{};
    if (item.data.size() < sizeof(entry)) return;
    std::memcpy(&entry, item.data.data(), sizeof(entry));
    const size_t size = le16toh(entry.name_len);
    if (item.data.size() < sizeof(entry) + size) return;
    visit(Entry{
        .directory = item.objectid,
        .inode = le64toh(entry.location.objectid),
        .name = {reinterpret_cast<const char*>(item.data.data()) + sizeof(entry), size},
        .is_directory = entry.type == BTRFS_FT_DIR && entry.location.type == BTRFS_INODE_ITEM_KEY});
  });
}

// The directories of one subvolume, each looked up at first use.
class Directories {
 public:
  struct Place {
    uint64_t above = 0;
    std::string name;
    bool operator==(const Place&) const = default;
  };

  Directories(int root_fd, WorkLimits& limits) : root_fd_(root_fd), held_(limits) {}

  // The parent and name of a directory; empty if it does not exist.
  std::optional<Place> Find(uint64_t inode) const {
    std::optional<Place> place;
    const TreeRange range{.tree_id = 0,  // that of root_fd_
                          .min_objectid = inode,
                          .max_objectid = inode,
                          .min_type = BTRFS_INODE_REF_KEY,
                          .max_type = BTRFS_INODE_REF_KEY};
    SearchTree(root_fd_, range, [&place](const TreeItem& item) {
      btrfs_inode_ref ref{};
      if (item.data.size() < sizeof(ref)) return;
      std::memcpy(&ref, item.data.data(), sizeof(ref));
      const size_t size = le16toh(ref.name_len);
      if (item.data.size() < sizeof(ref) + size) return;
      place = {item.offset, {reinterpret_cast<const char*>(item.data.data()) + sizeof(ref), size}};
    });
    return place;
  }

  // The length of the directory's path, including the slash: what a path in it has before its last name.
  size_t LengthOf(uint64_t inode) {
    std::vector<std::pair<uint64_t, size_t>> below;
    size_t length = 0;
    while (inode != kSubvolumeRootInode) {
      const auto known = lengths_.find(inode);
      if (known != lengths_.end()) {
        length = known->second;
        break;
      }
      const std::optional<Place> place = Find(inode);
      if (!place) break;  // removed, but still open
      below.emplace_back(inode, place->name.size() + 1);
      inode = place->above;
    }
    std::reverse(below.begin(), below.end());
    for (const auto& [directory, name_length] : below) {
      length += name_length;
      held_.Add(kDirectoryBytes);
      lengths_[directory] = length;
    }
    return length;
  }

 private:
  int root_fd_;
  HeldBytes held_;
  std::unordered_map<uint64_t, size_t> lengths_;
};

// The length of the longest path.
size_t LongestPath(int root_fd, WorkLimits& limits) {
  struct Directory {
    uint64_t above = 0;
    size_t name = 0;     // its length
    size_t longest = 0;  // of the names in it
    std::optional<size_t> path = std::nullopt;
  };
  HeldBytes held(limits);
  std::unordered_map<uint64_t, Directory> directories;
  directories[kSubvolumeRootInode].path = 0;
  ForEachEntry(root_fd, 0, [&](const Entry& entry) {
    limits.RequireWanted();
    Directory& holder = directories[entry.directory];
    holder.longest = std::max(holder.longest, entry.name.size());
    if (!entry.is_directory) return;
    held.Add(kDirectoryBytes);
    Directory& directory = directories[entry.inode];
    directory.above = entry.directory;
    directory.name = entry.name.size();
  });
  size_t longest = 0;
  std::vector<Directory*> chain;
  for (auto& [inode, directory] : directories) {
    for (Directory* one = &directory; !one->path; one = &directories.at(one->above)) {
      chain.push_back(one);
      if (!directories.contains(one->above)) one->path = 0;  // removed, but still open
      if (one->path) break;
    }
    for (; !chain.empty(); chain.pop_back()) {
      Directory* one = chain.back();
      if (!one->path) one->path = *directories.at(one->above).path + one->name + 1;
    }
    longest = std::max(longest, *directory.path + directory.longest);
  }
  return longest;
}

// A bound for a state that followed another one, whose bound is known.
size_t BoundSince(int base_root_fd, size_t base_bound, int root_fd, WorkLimits& limits) {
  Directories before(base_root_fd, limits);
  Directories now(root_fd, limits);
  size_t bound = base_bound;
  ForEachEntry(root_fd, FirstTransactionAfter(base_root_fd), [&](const Entry& entry) {
    limits.RequireWanted();
    const size_t length = now.LengthOf(entry.directory) + entry.name.size();
    bound = std::max(bound, length);
    if (!entry.is_directory) return;
    const std::optional<Directories::Place> place = before.Find(entry.inode);
    if (!place || (place->above == entry.directory && place->name == entry.name)) return;
    // It brought its contents along: they are no deeper than the deepest path in the base below it.
    const size_t depth = base_bound - std::min(base_bound, before.LengthOf(entry.inode));
    bound = std::max(bound, length + 1 + depth);
  });
  return bound;
}

}  // namespace

std::optional<size_t> PathBounds::Known(const SubvolumeUuid& uuid) const {
  const MutexLock lock(mutex_);
  const auto known = bounds_.find(uuid);
  return known == bounds_.end() ? std::nullopt : std::optional(known->second);
}

size_t PathBounds::Remember(const SubvolumeUuid& uuid, size_t bound) {
  const MutexLock lock(mutex_);
  if (bounds_.size() >= kRememberedMax) bounds_.clear();
  return bounds_[uuid] = bound;
}

// For a state that may have followed another one, whose bound may be known.
size_t PathBounds::BoundOf(int root_fd, int base_root_fd, WorkLimits& limits) {
  const SubvolumeUuid uuid = ToUuid(InfoOf(root_fd).uuid);
  if (const auto known = Known(uuid)) return *known;
  const auto base = Known(ToUuid(InfoOf(base_root_fd).uuid));
  if (base && Follows(base_root_fd, root_fd)) {
    const size_t bound = BoundSince(base_root_fd, *base, root_fd, limits);
    // Moves back and forth make the bound grow needlessly; at some size, an exact look pays off.
    if (bound + kRoomForOwnNames < PATH_MAX / 2) return Remember(uuid, bound);
  }
  return Remember(uuid, LongestPath(root_fd, limits));
}

bool PathBounds::MayExceedPathMax(int older_root_fd, int newer_root_fd, WorkLimits& limits) {
  const size_t older = BoundOf(older_root_fd, newer_root_fd, limits);
  const size_t newer = BoundOf(newer_root_fd, older_root_fd, limits);
  return older + newer + kRoomForOwnNames > PATH_MAX;
}

}  // namespace ckptfs
