// The judgement of what nothing refers to, by which recovery, fsck and gc remove.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "catalog/recovery/inventory.h"
#include "catalog/store/store_context.h"

namespace ckptfs {

// How long fsck and gc spare what nothing refers to. (Recovery does not: it runs before any operation.)
std::chrono::nanoseconds GarbageGrace();
// Whether something last changed at that time is younger than that, or dated after now.
bool IsSpared(const StoreContext& store, int64_t changed_ns);

// Judges volumes and sidecars: by what refers to them and how they were made, never by age or size. Used by
// one thread; `store` and `inventory` must outlive it.
//
// While operations run, an inventory is old when it is used. The judgement is right all the same, as it asks
// now whether an operation has the volume in work (InWork), and after that for a row.
class GarbageJudge {
 public:
  GarbageJudge(StoreContext& store, const Inventory& inventory)
      : store_(store), inventory_(inventory) {}

  // Why nothing needs a volume that the inventory has. Empty: something needs it, or it is unexplained, and
  // never to be removed.
  std::string WhyUseless(const VolumeId& volume) const;
  // Why nothing needs a sidecar that has no volume (Inventory::SidecarsOfNothing). It must have been listed
  // before the volumes, and not been in work then. Empty: something may.
  std::string WhySidecarUseless(const VolumeId& volume) const;

 private:
  bool IsInUse(const VolumeId& volume) const;
  bool WasCutShort(const Sidecar& sidecar) const;

  StoreContext& store_;
  const Inventory& inventory_;
};

// A template that only the backend knows.
struct TemplateWithoutRow {
  TemplateInfo info;
  bool is_needed = false;  // by a volume; otherwise it is of an operation that was cut short
};
// None while templates are added or removed.
std::vector<TemplateWithoutRow> TemplatesWithoutRow(const StoreContext& store);

// Gives tombstones to volumes that are to be destroyed: if a power failure brings one back, later transactions
// would make it look like one that has lost its row.
void Entomb(StoreContext& store, const std::vector<VolumeId>& volumes);

}  // namespace ckptfs
