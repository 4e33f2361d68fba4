#include "catalog/recovery/found_views.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <iterator>

#include "backend/base/error.h"

namespace ckptfs {

bool FoundViews::Claim(uint64_t view) {
  used_.insert(view);
  return found_.insert(view).second;
}

// The last number assigned is lost with the catalog: numbers above all existing ones come first.
uint64_t FoundViews::Take(ViewUse use) {
  const auto visit = [&](uint64_t first, uint64_t last, const std::function<bool(uint64_t)>& see) {
    for (auto i = used_.lower_bound(first); i != used_.end() && *i <= last && see(*i); ++i) {
    }
  };
  for (const ViewRange& range : RangesFor(use)) {
    const auto above = used_.upper_bound(range.last);
    const uint64_t largest = above == used_.begin() ? 0 : *std::prev(above);
    const uint64_t given = std::max(largest, range.first - 1);
    const auto view = NextFreeView(range, given, visit, nullptr);
    if (!view) continue;
    Claim(*view);
    return *view;
  }
  throw Error(ENOSPC, "number a tree that was found", "all view numbers are in use");
}

}  // namespace ckptfs
