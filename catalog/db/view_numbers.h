// Which numbers the trees of a store get.
//
// st_ino is `view number << 40 | inode number` (fs/nodes/node_id.h), and JavaScript knows numbers only as
// doubles: above 2^53 it takes different files for one, and programs in it take those for hard links
// of each other and lose content. Below that are 8,191 view numbers, so they are given again when
// what had them is gone. Live trees, in which programs work, have a part of them to themselves.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

namespace ckptfs {

// View numbers are the high 24 bits of st_ino; 0 belongs to what is in no volume.
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

// The one of kViewRanges that the number is in.
const ViewRange& RangeOf(uint64_t view);

enum class ViewUse { kWorkspace, kSnapshot };

// Where to look for a number, in this order.
std::span<const ViewRange> RangesFor(ViewUse use);

// Calls `visit` with each number in use from `first` to `last`, in ascending order, until it returns
// false.
using VisitUsedViews =
    std::function<void(uint64_t first, uint64_t last, const std::function<bool(uint64_t)>& visit)>;
// Whether a number is still told of something, although nothing in the store has it.
using IsViewHeld = std::function<bool(uint64_t view)>;

// The first number of `range` that is free, counted round from the one behind `given`: so a number
// comes back as late as possible, as backup programs and the like remember files by it. Empty if
// none is free. `is_held` may be empty.
std::optional<uint64_t> NextFreeView(const ViewRange& range, uint64_t given,
                                     const VisitUsedViews& visit_used, const IsViewHeld& is_held);

}  // namespace ckptfs
