#include "backend/btrfs/subvolume_files.h"

#include <endian.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <span>
#include <string_view>

#include "backend/base/error.h"
#include "backend/btrfs/btrfs_util.h"
#include "backend/btrfs/tree_search.h"

namespace ckptfs {
namespace {

// The inode number that stands in a snapshot where the original had a nested subvolume.
constexpr uint64_t kSubvolumeStubInode = 2;

constexpr std::string_view kReadingNames = "read the names of a file";

// As far as it is needed, the file handle that btrfs gives: fs/btrfs/export.h.
struct SubvolumeHandle {
  uint64_t inode;
  uint64_t root;
  uint32_t generation;
} __attribute__((packed));

struct NameRecord {
  uint64_t directory = 0;
  std::string name;
};

// Reads a fixed-size record off the front of an item.
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

// All names of a file. An INODE_REF item holds those in one directory, which is the key's offset;
// what finds no room there stands in INODE_EXTREF items, which bring the directory with each name.
std::vector<NameRecord> ReadNames(int root_fd, uint64_t inode) {
  std::vector<NameRecord> names;
  const TreeRange range{.tree_id = 0,  // that of root_fd
                        .min_objectid = inode,
                        .max_objectid = inode,
                        .min_type = BTRFS_INODE_REF_KEY,
                        .max_type = BTRFS_INODE_EXTREF_KEY};
  SearchTree(root_fd, range, [&names](const TreeItem& found) {
    std::span<const std::byte> item = found.data;
    while (!item.empty()) {
      if (found.type == BTRFS_INODE_REF_KEY) {
        const auto ref = TakeRecord<btrfs_inode_ref>(&item);
        names.push_back({found.offset, TakeName(&item, ref.name_len)});
      } else {
        const auto ref = TakeRecord<btrfs_inode_extref>(&item);
        names.push_back({le64toh(ref.parent_objectid), TakeName(&item, ref.name_len)});
      }
    }
  });
  return names;
}

// The path of a directory, with a slash at its end unless it is the root. Step by step where it is longer than
// the kernel can tell.
std::string DirectoryPath(int root_fd, uint64_t inode) {
  std::string below;
  while (inode != kSubvolumeRootInode) {
    btrfs_ioctl_ino_lookup_args arguments = {};
    arguments.objectid = inode;
    const int result = ioctl(root_fd, BTRFS_IOC_INO_LOOKUP, &arguments);
    if (result == 0) return arguments.name + below;
    if (errno != ENAMETOOLONG) ThrowErrno("find the path of a directory");
    const std::vector<NameRecord> names = ReadNames(root_fd, inode);
    if (names.empty()) throw Error(ESTALE, "find the path of a directory", "it has been removed");
    below = names.front().name + "/" + below;
    inode = names.front().directory;
  }
  return below;
}

}  // namespace

uint32_t SubvolumeFiles::GenerationOf(int fd, const std::string& path) const {
  const std::string handle = HandleOf(fd, path);
  SubvolumeHandle content = {};
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
  return subvolume != nullptr && ExtentsOf(inode) == subvolume->ExtentsOf(other_inode);
}

std::vector<std::string> SubvolumeFiles::PathsOf(uint64_t inode) const {
  std::vector<std::string> paths;
  std::map<uint64_t, std::string> directories;  // hard links often share theirs
  for (const NameRecord& record : ReadNames(root_fd(), inode)) {
    auto [directory, is_new] = directories.try_emplace(record.directory);
    if (is_new) directory->second = DirectoryPath(root_fd(), record.directory);
    paths.push_back(directory->second + record.name);
  }
  return paths;
}

std::vector<ExtentItem> SubvolumeFiles::ExtentsOf(uint64_t inode) const {
  std::vector<ExtentItem> extents;
  const TreeRange range{.tree_id = 0,  // that of root_fd()
                        .min_objectid = inode,
                        .max_objectid = inode,
                        .min_type = BTRFS_EXTENT_DATA_KEY,
                        .max_type = BTRFS_EXTENT_DATA_KEY};
  SearchTree(root_fd(), range, [&extents](const TreeItem& item) {
    const auto* data = reinterpret_cast<const char*>(item.data.data());
    extents.push_back({item.offset, std::string(data, item.data.size())});
  });
  return extents;
}

}  // namespace ckptfs
