#include "catalog/db/view_numbers.h"

#include <algorithm>

namespace ckptfs {
namespace {

std::optional<uint64_t> FreeBetween(uint64_t first, uint64_t last, const VisitUsedViews& visit_used,
                                    const IsViewHeld& is_held) {
  uint64_t candidate = first;
  const auto found_below = [&](uint64_t end) {
    while (is_held && candidate < end && is_held(candidate)) ++candidate;
    return candidate < end;
  };
  bool found = false;
  visit_used(first, last, [&](uint64_t used) {
    found = found_below(used);
    if (!found) candidate = std::max(candidate, used + 1);
    return !found;
  });
  if (found || found_below(last + 1)) return candidate;
  return std::nullopt;
}

}  // namespace

const ViewRange& RangeOf(uint64_t view) {
  return *std::find_if(kViewRanges.begin(), kViewRanges.end() - 1,
                       [&](const ViewRange& range) { return view <= range.last; });
}

std::span<const ViewRange> RangesFor(ViewUse use) {
  // Numbers reserved for workspaces are never lent: they could not be reclaimed, as numbers do not change.
  return std::span(kViewRanges).subspan(use == ViewUse::kWorkspace ? 0 : 1);
}

std::optional<uint64_t> NextFreeView(const ViewRange& range, uint64_t given,
                                     const VisitUsedViews& visit_used, const IsViewHeld& is_held) {
  const auto behind = FreeBetween(given + 1, range.last, visit_used, is_held);
  return behind ? behind : FreeBetween(range.first, given, visit_used, is_held);
}

}  // namespace ckptfs
