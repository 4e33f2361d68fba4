// How full a store is, and how many snapshots its workspaces have.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "backend/mount/disk_space.h"
#include "catalog/store/store_context.h"

namespace ckptfs {
namespace {

std::optional<HealthFinding> CountFinding(const StoreContext& store,
                                          const WorkspaceRecord& workspace) {
  const std::optional<uint64_t> limit = store.SettingsFor(workspace.id).Limit(kHealthSnapshots);
  const uint64_t count = store.catalog->CountSnapshots(workspace.id);
  if (!limit || count <= *limit) return std::nullopt;
  return HealthFinding{
      .key = kHealthSnapshots,
      .workspace_id = workspace.id,
      .workspace = workspace.name,
      .sentence = fmt::format("The workspace {} has {} snapshots, more than {} ({}): see ckpt "
                              "cleanup, or set another limit.",
                              workspace.name, count, kHealthSnapshots, *limit)};
}

std::optional<HealthFinding> SpaceFinding(const StoreContext& store) {
  const std::optional<uint64_t> limit = store.SettingsFor(std::nullopt).Limit(kHealthUsed);
  const SpaceInfo space = store.backend->Space();
  // Less than the store's size if the disk below has less to give.
  const uint64_t usable = space.used_bytes + space.free_bytes;
  if (!limit || usable == 0) return std::nullopt;
  const uint64_t most = DiskShare{.percent = *limit}.BytesOf(usable);
  if (space.used_bytes <= most) return std::nullopt;
  return HealthFinding{
      .key = kHealthUsed,
      .workspace_id = std::nullopt,
      .workspace = {},
      .sentence = fmt::format("More than {}% of the space are used ({}), {} MiB are free: delete "
                              "snapshots (ckpt cleanup), or make more space.",
                              *limit, kHealthUsed, space.free_bytes >> 20)};
}

std::vector<HealthFinding> Look(const StoreContext& store) {
  std::vector<HealthFinding> findings;
  if (auto finding = SpaceFinding(store)) findings.push_back(*std::move(finding));
  for (const WorkspaceRecord& workspace : store.catalog->ListWorkspaces()) {
    if (auto finding = CountFinding(store, workspace)) findings.push_back(*std::move(finding));
  }
  return findings;
}

bool Has(const std::vector<HealthFinding>& findings, const HealthFinding& wanted) {
  return std::any_of(findings.begin(), findings.end(), [&](const HealthFinding& finding) {
    return finding.key == wanted.key && finding.workspace_id == wanted.workspace_id;
  });
}

void LogChanges(const std::vector<HealthFinding>& before, const std::vector<HealthFinding>& now) {
  for (const HealthFinding& finding : now) {
    if (!Has(before, finding)) spdlog::warn("{}", finding.sentence);
  }
  for (const HealthFinding& finding : before) {
    if (Has(now, finding)) continue;
    spdlog::info("{}: within {} again", finding.workspace_id ? finding.workspace : "the store",
                 finding.key);
  }
}

}  // namespace

std::vector<HealthFinding> Store::LookAtHealth() {
  std::vector<HealthFinding> findings = Look(*impl_);
  LogChanges(impl_->health.Exchange(findings), findings);
  return findings;
}

std::vector<HealthFinding> Store::KnownHealth() const { return impl_->health.Get(); }

}  // namespace ckptfs
