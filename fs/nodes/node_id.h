// The numbers by which the kernel knows files: FUSE node ids and st_ino.
//
// Both are `high << 40 | inode number`, so no table of known files is needed. In a node id the high part is a
// slot (fs/nodes/views.h): one view of one volume while it is in use. In st_ino it is a view number,
// which the catalog keeps for the lifetime of the tree. Slot 0 and view 0 are for directories and files
// outside of any volume: the mount root, .snapshots and what is in it.
#pragma once

#include <cerrno>
#include <cstdint>

#include "backend/base/error.h"

namespace ckptfs {

using NodeId = uint64_t;
using Slot = uint32_t;

inline constexpr int kInodeBits = 40;
inline constexpr uint64_t kMaxInode = (uint64_t{1} << kInodeBits) - 1;
inline constexpr Slot kMaxSlot = (Slot{1} << 24) - 1;

// A volume that has used up 2^40 inode numbers (at 10,000 files per second: after 3.5 years) can hold no
// further file with a unique number here. Then EOVERFLOW, rather than two files with one number.
inline uint64_t MakeNumber(uint64_t high, uint64_t inode) {
  if (inode > kMaxInode) {
    throw Error(EOVERFLOW, "number a file", "the volume has used up its 2^40 inode numbers",
                "Copy its content into a new workspace");
  }
  return high << kInodeBits | inode;
}

// The root directory of a view, whatever its inode number underneath. (No filesystem uses 1 for a file: btrfs
// starts at 256, ext4 reserves it for bad blocks, xfs starts at 128.)
inline constexpr uint64_t kRootInode = 1;

// What the kernel's file handles (name_to_handle_at(2)) identify a file by, and what a reply that names a
// node has to return. A node that is reused for another file gets another generation, so the kernel rejects
// handles of the former file (ESTALE). As long as the kernel knows a node, every reply must return the same
// generation for it, or the kernel marks the inode bad.
struct NodeHandle {
  NodeId node = 0;
  uint32_t generation = 0;  // 0 for nodes outside of any volume, which are never reused
  bool operator==(const NodeHandle&) const = default;
};

constexpr Slot SlotOf(NodeId node) { return static_cast<Slot>(node >> kInodeBits); }
constexpr uint64_t InodeOf(NodeId node) { return node & kMaxInode; }

// --- Nodes outside of any volume (slot 0) --------------------------------------------------------

enum class VirtualKind : uint8_t {
  kSingle = 0,     // payload: a SingleNode
  kRootList = 1,   // .snapshots/W;              payload: workspace id
  kInnerList = 2,  // W/.snapshots;              payload: workspace id
  kLatest = 3,     // .snapshots/W/latest;       payload: id of the snapshot that it names
  kRootLive = 4,   // .snapshots/W/.live;        payload: workspace id << 12 | turn
  kInnerLive = 5,  // W/.snapshots/.live;        payload: as above
  kControl = 6,    // W/.ckptfs-control;         payload: workspace id
};

enum SingleNode : uint64_t {
  kMountRootNode = 1,  // FUSE_ROOT_ID
  kAllSnapshotsNode = 2,
  kMountControlNode = 3,
};

inline constexpr int kVirtualKindShift = 36;
inline constexpr int kLiveTurnBits = 12;
inline constexpr uint64_t kMaxVirtualPayload = (uint64_t{1} << kVirtualKindShift) - 1;

inline NodeId MakeVirtualNode(VirtualKind kind, uint64_t payload) {
  if (payload > kMaxVirtualPayload) {
    throw Error(EOVERFLOW, "number a snapshot directory", "the store has used up its numbers",
                "Make a new store and copy what is needed");
  }
  return static_cast<uint64_t>(kind) << kVirtualKindShift | payload;
}

constexpr bool IsVirtual(NodeId node) { return SlotOf(node) == 0; }
constexpr VirtualKind VirtualKindOf(NodeId node) {
  return static_cast<VirtualKind>(InodeOf(node) >> kVirtualKindShift);
}
constexpr uint64_t VirtualPayloadOf(NodeId node) { return node & kMaxVirtualPayload; }

}  // namespace ckptfs
