// View numbers: allocation and reuse.
#include <fmt/format.h>

#include <cerrno>

#include "backend/base/error.h"
#include "catalog/db/catalog_transaction.h"

namespace ckptfs {

uint64_t Catalog::LastGiven(const ViewRange& range) const {
  Statement row = reader_.Query("SELECT given FROM view_range WHERE first = ?", range.first);
  const bool known = row.Step();
  const uint64_t given = known ? static_cast<uint64_t>(row.Int(0)) : 0;
  if (known && given >= range.first - 1 && given <= range.last) return given;
  throw Error(EUCLEAN, "read catalog.db",
              fmt::format("it does not know the view numbers from {} on", range.first));
}

bool Catalog::IsUsed(uint64_t view) const {
  Statement row = reader_.Query(
      "SELECT EXISTS (SELECT 1 FROM workspace WHERE view = ?1) OR "
      "EXISTS (SELECT 1 FROM snapshot WHERE view = ?1) OR "
      "EXISTS (SELECT 1 FROM tombstone WHERE view = ?1)",
      view);
  return row.Step() && row.Int(0) != 0;
}

// SQLite counts 4,000 index entries in 0.2 ms. Larger ranges are not counted: the large range never fills up
// in practice.
bool Catalog::IsFull(const ViewRange& range) const {
  if (range.first == kLargeViews.first) return false;
  Statement row = reader_.Query(
      "SELECT (SELECT count(*) FROM workspace WHERE view >= ?1 AND view <= ?2) + "
      "(SELECT count(*) FROM snapshot WHERE view >= ?1 AND view <= ?2) + "
      "(SELECT count(*) FROM tombstone WHERE view >= ?1 AND view <= ?2)",
      range.first, range.last);
  return row.Step() && static_cast<uint64_t>(row.Int(0)) > range.last - range.first;
}

void Catalog::VisitUsed(uint64_t first, uint64_t last,
                        const std::function<bool(uint64_t)>& visit) const {
  Statement used = reader_.Query(
      "SELECT view FROM workspace WHERE view >= ?1 AND view <= ?2 UNION ALL "
      "SELECT view FROM snapshot WHERE view >= ?1 AND view <= ?2 UNION ALL "
      "SELECT view FROM tombstone WHERE view >= ?1 AND view <= ?2 ORDER BY 1",
      first, last);
  while (used.Step() && visit(static_cast<uint64_t>(used.Int(0)))) {
  }
}

bool Catalog::IsViewUsed(uint64_t view) const {
  const MutexLock lock(read_mutex_);
  return IsUsed(view);
}

uint64_t Catalog::NextView(ViewUse use, const IsViewHeld& is_held) const {
  const MutexLock lock(read_mutex_);
  const auto visit_used =
      [this](uint64_t first, uint64_t last, const std::function<bool(uint64_t)>& visit)
          REQUIRES(read_mutex_) { VisitUsed(first, last, visit); };
  for (const ViewRange& range : RangesFor(use)) {
    if (full_ranges_.contains(range.first)) continue;
    const uint64_t given = LastGiven(range);
    const uint64_t next = given < range.last ? given + 1 : range.first;
    if (IsUsed(next) && IsFull(range)) {
      full_ranges_.insert(range.first);
      continue;
    }
    if (const auto view = NextFreeView(range, given, visit_used, is_held)) return *view;
  }
  throw Error(ENOSPC, "number a new tree", "all view numbers, 2^24 less a few, are in use",
              "Delete snapshots");
}

// Called after a commit: by then, readers of the previous state have recorded which ranges are full.
void Catalog::ViewsReleased() {
  const MutexLock lock(read_mutex_);
  full_ranges_.clear();
}

// Advances the counter of NextView.
void Catalog::Transaction::NoteGiven(uint64_t view) {
  database_.Run("UPDATE view_range SET given = ? WHERE first = ?", view, RangeOf(view).first);
}

}  // namespace ckptfs
