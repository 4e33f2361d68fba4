// The view numbers of a store's trees.
//
// st_ino is `view number << 40 | inode number` (fs/nodes/node_id.h). JavaScript has numbers only as doubles:
// above 2^53, different files can get the same value, and programs in it then take them for hard links of
// each other and lose content. Below that are 8,191 view numbers, so they are reused when their tree is gone.
// Live trees, in which programs work, have a range of their own.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

namespace ckptfs {

// View numbers are the high 24 bits of st_ino; 0 is for files outside of any volume.
inline constexpr uint64_t kMaxView = (uint64_t{1} << 24) - 1;

struct ViewRange {
  uint64_t first;
  uint64_t last;
};
inline constexpr ViewRange kWorkspaceViews = {1, 4095};
inline constexpr ViewRange kSnapshotViews = {4096,
                                             8191};  // and for workspaces when those are used up
inline constexpr ViewRange kLargeViews = {8192, kMaxView};  // for all; st_ino is above 2^53
inline constexpr std::array kViewRanges = {kWorkspaceViews, kSnapshotViews, kLargeViews};

// The range in kViewRanges that contains the number.
const ViewRange& RangeOf(uint64_t view);

enum class ViewUse { kWorkspace, kSnapshot };

// The ranges to search for a number, in this order.
std::span<const ViewRange> RangesFor(ViewUse use);

// Calls `visit` with each number in use from `first` to `last`, in ascending order, until it returns false.
using VisitUsedViews =
    std::function<void(uint64_t first, uint64_t last, const std::function<bool(uint64_t)>& visit)>;
// Whether programs may still see the number although nothing in the store has it.
using IsViewHeld = std::function<bool(uint64_t view)>;

// The first free number of `range` after `given`, cyclically: so a number is reused as late as possible,
// since backup programs and the like remember files by it. Empty if none is free. `is_held` may be empty.
std::optional<uint64_t> NextFreeView(const ViewRange& range, uint64_t given,
                                     const VisitUsedViews& visit_used, const IsViewHeld& is_held);

}  // namespace ckptfs
