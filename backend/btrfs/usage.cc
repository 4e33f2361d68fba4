#include "backend/btrfs/usage.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/mutex.h"
#include "backend/btrfs/btrfs_util.h"
#include "backend/btrfs/tree_search.h"

namespace ckptfs {
namespace {

constexpr size_t kFiemapExtents = 256;
constexpr size_t kReferencesBufferBytes = size_t{64} * 1024;
// References held in memory at once. A volume with more is scanned several times, each time for a part of its
// extents.
constexpr size_t kReferencesMax = size_t{1} << 20;
// Only one caller at a time holds more than this.
constexpr size_t kFewReferences = kReferencesMax / 8;

// One place in a file that refers to an extent on disk.
struct Reference {
  uint64_t extent = 0;      // logical address, the extent's identity
  uint64_t disk_bytes = 0;  // of the whole extent
  bool shared = false;      // according to FIEMAP
};

// The file offset of a reference, while one file is processed.
struct Place {
  uint64_t file_offset = 0;
  size_t reference = 0;
};

// One measurement of a volume. Not reusable.
class UsageCounter {
 public:
  explicit UsageCounter(const Volume& volume)
      : volume_(volume), root_id_(SubvolumeId(volume.root_fd())) {}

  VolumeUsage Count() {
    while (!CountParts()) {
      ++parts_log2_;
      usage_ = {};
    }
    return usage_;
  }

 private:
  // Thrown to end a search.
  struct TooMany {};

  bool CountParts() {
    for (part_ = 0; part_ >> parts_log2_ == 0; ++part_) {
      references_.clear();
      places_.clear();
      inode_ = 0;
      try {
        CountPart();
      } catch (const TooMany&) {
        return false;
      }
      Sum();
    }
    return true;
  }

  void CountPart() {
    const TreeRange range{.tree_id = root_id_,
                          .min_objectid = kSubvolumeRootInode,
                          .min_type = BTRFS_EXTENT_DATA_KEY,
                          .max_type = BTRFS_EXTENT_DATA_KEY};
    SearchTree(volume_.root_fd(), range, [this](const TreeItem& item) { Visit(item); });
    MarkShared();
  }

  // Whether an extent belongs to the part that is being counted.
  bool IsInPart(uint64_t extent) const {
    constexpr uint64_t kSpread =
        0x9E3779B97F4A7C15;  // 2^64 divided by the golden ratio: spreads neighbours
    return parts_log2_ == 0 || (extent * kSpread) >> (64 - parts_log2_) == part_;
  }

  void Hold(const Reference& reference) {
    if (references_.size() == kReferencesMax) throw TooMany();
    if (references_.size() == kFewReferences && !many_) many_.emplace(of_many_);
    references_.push_back(reference);
  }

  void Visit(const TreeItem& item) {
    if (item.objectid != inode_) {
      MarkShared();
      inode_ = item.objectid;
    }
    constexpr size_t kInlineHeader = offsetof(btrfs_file_extent_item, disk_bytenr);
    if (item.data.size() < kInlineHeader) return;
    btrfs_file_extent_item extent{};
    std::memcpy(&extent, item.data.data(), std::min(item.data.size(), sizeof(extent)));
    if (extent.type == BTRFS_FILE_EXTENT_INLINE) {
      if (part_ == 0) usage_.referenced_bytes += item.data.size() - kInlineHeader;
      return;
    }
    const uint64_t address = le64toh(extent.disk_bytenr);
    if (item.data.size() < sizeof(extent) || address == 0) return;  // a hole
    if (!IsInPart(address)) return;
    places_.push_back({item.offset, references_.size()});
    Hold({address, le64toh(extent.disk_num_bytes), false});
  }

  // Finds out which references of the current file are shared.
  void MarkShared() {
    if (places_.empty()) return;
    UniqueFd fd;
    try {
      fd = volume_.OpenInode({inode_, 0}, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (const Error& error) {
      // Unlinked meanwhile, or an orphan waiting for its last close: certainly not shared.
      if (error.errno_value() != ESTALE && error.errno_value() != ENOENT) throw;
    }
    if (fd.valid()) MarkShared(fd.get());
    places_.clear();
  }

  void MarkShared(int fd) {
    std::vector<std::byte> buffer(sizeof(fiemap) + kFiemapExtents * sizeof(fiemap_extent));
    auto* map = reinterpret_cast<fiemap*>(buffer.data());
    auto place = places_.begin();
    uint64_t start = 0;
    while (place != places_.end()) {
      std::memset(map, 0, sizeof(*map));
      map->fm_start = start;
      map->fm_length = FIEMAP_MAX_OFFSET - start;
      map->fm_extent_count = kFiemapExtents;
      CheckSyscall(ioctl(fd, FS_IOC_FIEMAP, map), "ask for the extents of a file");
      if (map->fm_mapped_extents == 0) return;
      for (const fiemap_extent& extent : std::span(map->fm_extents, map->fm_mapped_extents)) {
        const uint64_t end = extent.fe_logical + extent.fe_length;
        for (; place != places_.end() && place->file_offset < end; ++place) {
          references_[place->reference].shared = (extent.fe_flags & FIEMAP_EXTENT_SHARED) != 0;
        }
        start = end;
        if (extent.fe_flags & FIEMAP_EXTENT_LAST) return;
      }
    }
  }

  void Sum() {
    std::sort(references_.begin(), references_.end(),
              [](const Reference& a, const Reference& b) { return a.extent < b.extent; });
    for (auto first = references_.begin(); first != references_.end();) {
      const auto last = std::find_if(first, references_.end(), [&](const Reference& reference) {
        return reference.extent != first->extent;
      });
      usage_.referenced_bytes += first->disk_bytes;
      bool shared = std::any_of(first, last, [](const Reference& r) { return r.shared; });
      if (shared && last - first > 1) shared = IsReferencedElsewhere(first->extent);
      if (!shared) usage_.exclusive_bytes += first->disk_bytes;
      first = last;
    }
  }

  bool IsReferencedElsewhere(uint64_t extent) {
    std::vector<uint64_t> buffer(kReferencesBufferBytes / sizeof(uint64_t));
    auto* found = reinterpret_cast<btrfs_data_container*>(buffer.data());
    btrfs_ioctl_logical_ino_args args{};
    args.logical = extent;
    args.size = kReferencesBufferBytes;
    args.flags = BTRFS_LOGICAL_INO_ARGS_IGNORE_OFFSET;
    args.inodes = reinterpret_cast<uint64_t>(found);
    if (ioctl(volume_.root_fd(), BTRFS_IOC_LOGICAL_INO_V2, &args) != 0) {
      if (errno == ENOENT) return false;  // freed meanwhile
      ThrowErrno("ask who refers to an extent");
    }
    if (found->elem_missed > 0) return true;                 // thousands: certainly in snapshots
    for (uint32_t i = 0; i + 2 < found->elem_cnt; i += 3) {  // inode, offset, root
      if (found->val[i + 2] != root_id_) return true;
    }
    return false;
  }

  const Volume& volume_;
  const uint64_t root_id_;
  uint64_t inode_ = 0;         // whose items are being read
  std::vector<Place> places_;  // of that inode, by file offset
  std::vector<Reference> references_;
  VolumeUsage usage_;
  uint64_t part_ = 0;  // of 2^parts_log2_
  unsigned parts_log2_ = 0;
  inline static Mutex of_many_;
  std::optional<HeldLock> many_;  // once it holds more than kFewReferences
};

}  // namespace

VolumeUsage MeasureUsage(const Volume& volume) { return UsageCounter(volume).Count(); }

}  // namespace ckptfs
