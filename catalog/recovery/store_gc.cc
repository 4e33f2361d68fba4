// Removes what nothing refers to from an open store.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <set>
#include <thread>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/partial_file.h"
#include "backend/base/time.h"
#include "catalog/recovery/garbage.h"

namespace ckptfs {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kDamaged = "damaged-";
constexpr std::string_view kBeforeRepair = "before-repair-";

// A catalog that was set aside, or a file of SQLite's beside it, as its name tells.
struct SetAside {
  int64_t since_ns = 0;
  const char* reason = "";
};

bool IsSuffix(std::string_view text) {
  const auto& suffixes = Catalog::kSuffixes;
  return std::find(suffixes.begin(), suffixes.end(), text) != suffixes.end();
}

// "-2" and so on from the front, if it is there.
std::string_view WithoutNumber(std::string_view text) {
  int number = 0;
  if (!text.starts_with('-')) return text;
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), number);
  return error == std::errc{} ? text.substr(static_cast<size_t>(end - text.data())) : text;
}

// Empty if it is not a name of ours.
std::optional<SetAside> ParseSetAside(std::string_view name) {
  const std::string stem = std::string(Catalog::kFileName) + ".";
  if (!name.starts_with(stem)) return std::nullopt;
  name.remove_prefix(stem.size());
  const bool is_damaged = name.starts_with(kDamaged);
  if (!is_damaged && !name.starts_with(kBeforeRepair)) return std::nullopt;
  name.remove_prefix(is_damaged ? kDamaged.size() : kBeforeRepair.size());
  const size_t length = FormatForName(0).size();
  const std::optional<int64_t> since_ns = ParseNameTime(name.substr(0, length));
  if (!since_ns || !IsSuffix(WithoutNumber(name.substr(length)))) return std::nullopt;
  return SetAside{*since_ns, is_damaged ? "a damaged catalog that was set aside"
                                        : "a copy of the catalog from before a repair"};
}

// One run. Each thing is judged and removed by itself, so that operations come in between, and judged again
// at that moment, as it may have changed since the lists were made.
class Collector {
 public:
  Collector(StoreContext& store, const GarbageRequest& request, const TellGarbage& tell)
      : store_(store),
        request_(request),
        tell_(tell),
        sidecars_(store.meta->List()),
        in_work_before_(store.in_work.Volumes()),
        inventory_(*store.backend, *store.meta, *store.catalog),
        judge_(store, inventory_) {}

  GarbageTotal Run() {
    if (Volumes() && Sidecars() && Leftovers() && Templates()) SetAsideCatalogs();
    return total_;
  }

 private:
  using Remove = std::function<bool()>;

  // Each returns whether to go on.
  bool Volumes();
  bool CollectVolume(const VolumeId& volume);
  bool Sidecars();
  bool CollectSidecar(const VolumeId& volume);
  bool Leftovers();
  bool Templates();
  bool CollectTemplate(const TemplateInfo& info);
  bool SetAsideCatalogs();
  bool CollectCatalog(const std::string& name, const SetAside& set_aside);
  bool Settle(GarbageItem item, const Remove& remove, const std::string& spared = {});

  bool RemoveVolume(const VolumeId& volume);
  bool RemoveSidecar(const VolumeId& volume);
  bool RemoveTemplate(const TemplateId& id);
  void Perform(GarbageOutcome& outcome, const Remove& remove);

  StoreContext& store_;
  const GarbageRequest& request_;
  const TellGarbage& tell_;
  const MetaDirectory::Listing
      sidecars_;  // first, then what was in work, then the volumes (GarbageJudge)
  const std::multiset<VolumeId> in_work_before_;
  const Inventory inventory_;
  const GarbageJudge judge_;
  GarbageTotal total_;
};

// Removes and tells one thing. `remove` returns false if there is nothing to remove any more.
bool Collector::Settle(GarbageItem item, const Remove& remove, const std::string& spared) {
  item.age_ns = store_.clock.NowNs() - item.changed_ns;
  GarbageOutcome outcome{.item = std::move(item), .spared = spared, .error = {}};
  if (outcome.spared.empty() && IsSpared(store_, outcome.item.changed_ns)) {
    outcome.spared =
        outcome.item.age_ns < 0 ? "dated after now" : "changed less than 10 minutes ago";
  }
  if (outcome.spared.empty() && !request_.dry_run) {
    Perform(outcome, remove);
    if (!outcome.was_removed && outcome.error.empty()) return true;
  }
  if (!outcome.error.empty()) {
    ++total_.failed;
  } else if (outcome.spared.empty()) {
    ++total_.removed;
    total_.bytes += outcome.item.bytes;
  }
  return !tell_ || tell_(outcome);
}

void Collector::Perform(GarbageOutcome& outcome, const Remove& remove) {
  const GarbageItem& item = outcome.item;
  const auto begin = Clock::now();
  if (!request_.is_automatic) store_.backend->right_of_way().GiveWay(RightOfWay::kHeldMax);
  try {
    Failpoint("gc.before-remove");
    {
      const MutexLock lock(store_.judging);
      outcome.was_removed = remove();
    }
    Failpoint("gc.after-remove");
    if (outcome.was_removed) {
      spdlog::info("{}: removed {}, {}: {} bytes", store_.options.path, item.name, item.reason,
                   item.bytes);
    }
  } catch (const Error& error) {
    outcome.error = error.what();
  }
  if (!request_.is_automatic) std::this_thread::sleep_for(Clock::now() - begin);
}

// --- Volumes -------------------------------------------------------------------------------------

bool Collector::Volumes() {
  std::vector<VolumeId> candidates = inventory_.Strangers();
  for (const VolumeId& volume : inventory_.tombstones()) {
    if (inventory_.Has(volume)) candidates.push_back(volume);
  }
  return std::all_of(candidates.begin(), candidates.end(),
                     [this](const VolumeId& volume) { return CollectVolume(volume); });
}

bool Collector::CollectVolume(const VolumeId& volume) {
  const std::string reason = judge_.WhyUseless(volume);
  if (reason.empty()) return true;
  GarbageItem item{.kind = GarbageKind::kVolume, .name = volume.str(), .reason = reason};
  if (const auto since_ns = store_.catalog->TombstoneSinceNs(volume)) {
    item.changed_ns = *since_ns;
  } else if (const auto sidecar = store_.meta->StatusOf(volume)) {
    // Written before the volume was made, and again when it was complete.
    item.changed_ns = sidecar->changed_ns;
  } else {
    return true;
  }
  try {
    if (!request_.is_automatic) item.bytes = store_.backend->Usage(volume).exclusive_bytes;
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw;
    return true;
  }
  return Settle(std::move(item), [&] { return RemoveVolume(volume); });
}

// On disk if the process is killed: the volume, with or without a tombstone; both are reasons for recovery to
// destroy it. The janitor waits until that is durable, then removes sidecar and tombstone.
bool Collector::RemoveVolume(const VolumeId& volume) {
  if (judge_.WhyUseless(volume).empty()) return false;
  store_.WithReserve([&] { Entomb(store_, {volume}); });
  Failpoint("gc.after-tombstone");
  const bool was_there = store_.backend->Destroy(volume);
  store_.janitor->Reap(volume);
  return was_there;
}

// --- Files ---------------------------------------------------------------------------------------

bool Collector::Sidecars() {
  const std::vector<VolumeId> of_nothing = inventory_.SidecarsOfNothing(sidecars_);
  for (const VolumeId& volume : of_nothing) {
    if (!in_work_before_.contains(volume) && !CollectSidecar(volume)) return false;
  }
  for (const std::string& name : sidecars_.leftovers) {
    const auto file = store_.meta->StatusOfLeftover(name);
    if (!file) continue;
    const bool go_on = Settle({.kind = GarbageKind::kFile,
                               .name = "meta/" + name,
                               .reason = "a sidecar that was not written to its end",
                               .bytes = file->bytes,
                               .changed_ns = file->changed_ns},
                              [&] { return store_.meta->RemoveLeftover(name); });
    if (!go_on) return false;
  }
  return true;
}

bool Collector::CollectSidecar(const VolumeId& volume) {
  const std::string reason = judge_.WhySidecarUseless(volume);
  const auto file = store_.meta->StatusOf(volume);
  if (reason.empty() || !file) return true;
  return Settle(
      {.kind = GarbageKind::kSidecar,
       .name = "meta/" + file->name,
       .reason = reason,
       .bytes = file->bytes,
       .changed_ns = file->changed_ns},
      [&] { return !judge_.WhySidecarUseless(volume).empty() && store_.meta->Remove(volume); });
}

bool Collector::Leftovers() {
  for (const LeftoverFile& file : store_.backend->Leftovers()) {
    const bool go_on = Settle({.kind = GarbageKind::kFile,
                               .name = file.name,
                               .reason = "half made by an operation that was cut short",
                               .bytes = file.bytes,
                               .changed_ns = file.changed_ns},
                              [&] { return store_.backend->RemoveLeftover(file.name); });
    if (!go_on) return false;
  }
  return true;
}

// --- Templates -----------------------------------------------------------------------------------

bool Collector::Templates() {
  for (const TemplateWithoutRow& found : TemplatesWithoutRow(store_)) {
    if (!found.is_needed && !CollectTemplate(found.info)) return false;
  }
  return true;
}

bool Collector::CollectTemplate(const TemplateInfo& info) {
  uint64_t bytes = 0;
  try {
    bytes = store_.backend->templates()->DiskBytes(info.id);
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw;  // then only its description is left
  }
  return Settle(
      {.kind = GarbageKind::kTemplate,
       .name = info.id.str(),
       .reason = fmt::format("template {} of an operation that was cut short", info.label),
       .bytes = bytes,
       .changed_ns = info.created_ns},
      [&] { return RemoveTemplate(info.id); });
}

bool Collector::RemoveTemplate(const TemplateId& id) {
  const std::vector<TemplateWithoutRow> now = TemplatesWithoutRow(store_);
  const bool is_useless = std::any_of(now.begin(), now.end(), [&](const TemplateWithoutRow& one) {
    return one.info.id == id && !one.is_needed;
  });
  if (!is_useless) return false;
  store_.backend->templates()->Remove(id);
  return true;
}

// --- Catalogs ------------------------------------------------------------------------------------

bool Collector::SetAsideCatalogs() {
  for (const std::string& name : ReadDirectory(store_.directory.get())) {
    const std::optional<SetAside> set_aside = ParseSetAside(name);
    if (set_aside && !CollectCatalog(name, *set_aside)) return false;
  }
  return true;
}

bool Collector::CollectCatalog(const std::string& name, const SetAside& set_aside) {
  const auto file = FindUnfinishedFile(store_.directory.get(), name);
  if (!file) return true;
  return Settle(
      {.kind = GarbageKind::kCatalog,
       .name = name,
       .reason = set_aside.reason,
       .bytes = file->bytes,
       .changed_ns = std::max(file->changed_ns, set_aside.since_ns)},
      [&] { return RemoveUnfinishedFile(store_.directory.get(), name); },
      request_.is_automatic ? "removed only if somebody asks for it" : "");
}

}  // namespace

GarbageTotal CollectGarbage(StoreContext& store, const GarbageRequest& request,
                            const TellGarbage& tell) {
  if (!request.dry_run) store.RequireWritable("remove what nothing refers to");
  if (store.catalog->is_uncertain()) {
    throw Error(EIO, "look for what nothing refers to",
                "the catalog's disk has failed, so what is on it is not certain",
                "See to the disk, unmount and mount again");
  }
  return Collector(store, request, tell).Run();
}

GarbageTotal Store::CollectGarbage(const GarbageRequest& request, const TellGarbage& tell) {
  return ckptfs::CollectGarbage(*impl_, request, tell);
}

}  // namespace ckptfs
