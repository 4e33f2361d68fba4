#include "catalog/recovery/garbage.h"

#include <set>

#include "backend/base/failpoint.h"
#include "backend/base/time.h"

namespace ckptfs {

std::chrono::nanoseconds GarbageGrace() {
  constexpr std::chrono::minutes kGrace{10};
  const std::optional<int> for_test = NumberForTest(kTestGraceSeconds);
  return for_test ? std::chrono::seconds(*for_test) : kGrace;
}

bool IsSpared(const StoreContext& store, int64_t changed_ns) {
  return store.clock.NowNs() - changed_ns < GarbageGrace().count();
}

// The order matters: an operation that had it in work, and has it no more, has given it a row before.
bool GarbageJudge::IsInUse(const VolumeId& volume) const {
  return store_.in_work.Contains(volume) || store_.janitor->IsReaping(volume) ||
         store_.catalog->FindWorkspaceByVolume(volume).has_value() ||
         store_.catalog->FindSnapshotByVolume(volume).has_value();
}

std::string GarbageJudge::WhyUseless(const VolumeId& volume) const {
  if (IsInUse(volume)) return {};
  if (store_.catalog->TombstoneSinceNs(volume)) return "its deletion was not completed";
  // The catalog may have lost this volume's row.
  const std::optional<uint64_t>& seen = inventory_.store_generation();
  if (seen && *seen > store_.catalog->Generation()) return {};
  const std::optional<Sidecar> sidecar = inventory_.ReadSidecar(volume).sidecar;
  if (!sidecar) return {};
  if (sidecar->role == SidecarRole::kScratch) return "left of a comparison";
  if (sidecar->state == SidecarState::kFilling) return "left of an import";
  return WasCutShort(*sidecar) ? "left of an operation that was cut short" : "";
}

bool GarbageJudge::WasCutShort(const Sidecar& sidecar) const {
  if (!inventory_.store_generation()) return false;
  // A caller may already know that it exists.
  if (sidecar.role == SidecarRole::kSnapshot) return false;
  // The transaction that was to give it a row did not happen: it would be durable. Those of other operations
  // may have come before it.
  return sidecar.state == SidecarState::kPrepared &&
         sidecar.generation <= store_.catalog->Generation() + 1;
}

std::string GarbageJudge::WhySidecarUseless(const VolumeId& volume) const {
  if (store_.rebuilt() || IsInUse(volume) || store_.catalog->TombstoneSinceNs(volume)) return {};
  return "its volume is gone";
}

std::vector<TemplateWithoutRow> TemplatesWithoutRow(const StoreContext& store) {
  TemplateKeeper* keeper = store.backend->templates();
  if (keeper == nullptr) return {};
  std::vector<TemplateInfo> listed = keeper->List();
  // Looked at between the two lists: whoever has added one of these, and is done, has given it a row.
  if (store.in_work.HasTemplates()) return {};
  std::set<TemplateId> known;
  for (const TemplateInfo& info : store.catalog->ListTemplates()) known.insert(info.id);
  std::erase_if(listed, [&](const TemplateInfo& info) { return known.contains(info.id); });
  if (listed.empty()) return {};
  std::set<TemplateId> needed;
  for (const VolumeListing& volume : store.backend->List()) {
    if (const auto base = keeper->TemplateOf(volume.id)) needed.insert(*base);
  }
  std::vector<TemplateWithoutRow> found;
  for (TemplateInfo& info : listed) {
    const bool is_needed = needed.contains(info.id);
    found.push_back({.info = std::move(info), .is_needed = is_needed});
  }
  return found;
}

void Entomb(StoreContext& store, const std::vector<VolumeId>& volumes) {
  Catalog::Transaction transaction(*store.catalog);
  for (const VolumeId& volume : volumes) transaction.AddTombstone(volume, std::nullopt, NowNs());
  transaction.CommitUncounted();
}

}  // namespace ckptfs
