#include "backend/btrfs/subvolume_files.h"

#include <endian.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "backend/base/error.h"
#include "backend/btrfs/btrfs_util.h"
#include "backend/btrfs/tree_search.h"

namespace ckptfs {
namespace {

// The inode number that a snapshot has where the original had a nested subvolume.
constexpr uint64_t kSubvolumeStubInode = 2;

constexpr std::string_view kReadingNames = "read the names of a file";

// The needed part of the file handle that btrfs returns: fs/btrfs/export.h.
struct HandleContent {
  uint64_t inode;
  uint64_t root;
  uint32_t generation;
} __attribute__((packed));

struct NameRecord {
  uint64_t directory = 0;
  std::string name;
};

// Reads a fixed-size record from the front of an item.
template <typename Record>
Record TakeRecord(std::span<const std::byte>* item) {
  Record record = {};
  if (item->size() < sizeof record) throw Error(EBADMSG, kReadingNames, "a record is cut short");
  std::memcpy(&record, item->data(), sizeof record);
  *item = item->subspan(sizeof record);
  return record;
}

std::string TakeName(std::span<const std::byte>* item, uint16_t length_le) {
  const size_t length = le16toh(length_le);
  if (item->size() < length) throw Error(EBADMSG, kReadingNames, "a name is cut short");
  std::string name(reinterpret_cast<const char*>(item->data()), length);
  *item = item->subspan(length);
  return name;
}

// Thrown to end a search.
struct Enough {};

// Calls `visit` with all names of a file, until that throws. An INODE_REF item has the names in one
// directory, which is the key's offset; names that do not fit are in INODE_EXTREF items, which have the
// directory with each name.
template <typename Visit>
void ReadNames(int root_fd, uint64_t inode, const Visit& visit) {
  const TreeRange range{.tree_id = 0,  // that of root_fd
                        .min_objectid = inode,
                        .max_objectid = inode,
                        .min_type = BTRFS_INODE_REF_KEY,
                        .max_type = BTRFS_INODE_EXTREF_KEY};
  SearchTree(root_fd, range, [&visit](const TreeItem& found) {
    std::span<const std::byte> item = found.data;
    while (!item.empty()) {
      if (found.type == BTRFS_INODE_REF_KEY) {
        const auto ref = TakeRecord<btrfs_inode_ref>(&item);
        visit(NameRecord{found.offset, TakeName(&item, ref.name_len)});
      } else {
        const auto ref = TakeRecord<btrfs_inode_extref>(&item);
        visit(NameRecord{le64toh(ref.parent_objectid), TakeName(&item, ref.name_len)});
      }
    }
  });
}

std::optional<NameRecord> FirstName(int root_fd, uint64_t inode) {
  std::optional<NameRecord> first;
  try {
    ReadNames(root_fd, inode, [&first](NameRecord name) {
      first = std::move(name);
      throw Enough();
    });
  } catch (const Enough&) {
  }
  return first;
}

// The path of a directory, with a trailing slash unless it is the root. Step by step if it is longer than the
// kernel can return.
std::string DirectoryPath(int root_fd, uint64_t inode) {
  std::string below;
  while (inode != kSubvolumeRootInode) {
    btrfs_ioctl_ino_lookup_args arguments = {};
    arguments.objectid = inode;
    const int result = ioctl(root_fd, BTRFS_IOC_INO_LOOKUP, &arguments);
    if (result == 0) return arguments.name + below;
    if (errno != ENAMETOOLONG) ThrowErrno("find the path of a directory");
    const std::optional<NameRecord> name = FirstName(root_fd, inode);
    if (!name) throw Error(ESTALE, "find the path of a directory", "it has been removed");
    below.insert(0, 1, '/').insert(0, name->name);
    inode = name->directory;
  }
  return below;
}

}  // namespace

uint32_t SubvolumeFiles::GenerationOf(int fd, const std::string& path) const {
  const std::string handle = HandleOf(fd, path);
  HandleContent content = {};
  if (handle.size() < sizeof content) {
    throw Error(EBADMSG, fmt::format("get the file handle of {:?}", path),
                "it is not of btrfs's form");
  }
  std::memcpy(&content, handle.data(), sizeof content);
  return content.generation;
}

bool SubvolumeFiles::IsStub(uint64_t inode) const { return inode == kSubvolumeStubInode; }

bool SubvolumeFiles::SharesContents(uint64_t inode, const VolumeFiles& other,
                                    uint64_t other_inode) const {
  const auto* subvolume = dynamic_cast<const SubvolumeFiles*>(&other);
  if (subvolume == nullptr) return false;
  const std::optional<std::string> extents = ExtentsOf(inode);
  return extents && extents == subvolume->ExtentsOf(other_inode);
}

void SubvolumeFiles::ForEachPathOf(
    uint64_t inode, const std::function<bool(const std::string& path)>& visit) const {
  uint64_t known = 0;
  std::string directory;  // hard links often share theirs
  try {
    ReadNames(root_fd(), inode, [&](const NameRecord& name) {
      limits().RequireWanted();
      if (known != name.directory) directory = DirectoryPath(root_fd(), name.directory);
      known = name.directory;
      if (!visit(directory + name.name)) throw Enough();
    });
  } catch (const Enough&) {
  }
}

std::optional<std::string> SubvolumeFiles::ExtentsOf(uint64_t inode) const {
  constexpr size_t kExtentsBytesMax = size_t{8} << 20;
  std::string extents;
  const TreeRange range{.tree_id = 0,  // that of root_fd()
                        .min_objectid = inode,
                        .max_objectid = inode,
                        .min_type = BTRFS_EXTENT_DATA_KEY,
                        .max_type = BTRFS_EXTENT_DATA_KEY};
  try {
    SearchTree(root_fd(), range, [&](const TreeItem& item) {
      limits().RequireWanted();
      if (extents.size() > kExtentsBytesMax) throw Enough();
      const uint64_t head[] = {item.offset, item.data.size()};
      extents.append(reinterpret_cast<const char*>(head), sizeof(head));
      extents.append(reinterpret_cast<const char*>(item.data.data()), item.data.size());
    });
  } catch (const Enough&) {
    return std::nullopt;
  }
  return extents;
}

}  // namespace ckptfs
