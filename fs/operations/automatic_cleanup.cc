#include "fs/operations/automatic_cleanup.h"

#include <spdlog/spdlog.h>

#include <cerrno>
#include <utility>

#include "backend/base/error.h"

namespace ckptfs {

void AutomaticCleanup::Look() noexcept {
  if (!pace_.MayLook()) return;
  try {
    if (!verbs_.store().Status().read_only) LookAtAll();
  } catch (const std::exception& error) {
    spdlog::warn("automatic cleanup: {}", error.what());
    pace_.Failed();
  }
}

void AutomaticCleanup::LookAtAll() {
  const int64_t begin_ns = LookPace::UpNs();
  const std::vector<Subject> subjects = Subjects();
  const int64_t took_ns = LookPace::UpNs() - begin_ns;
  std::vector<SpaceWish> wishes;
  for (const Subject& subject : subjects) {
    if (stopping_) return;
    if (IsCleanupDue(subject)) CleanUpWorkspace(subject);
    wishes.push_back({.request = subject.request, .settings = subject.settings});
  }
  space_.Look(wishes);
  pace_.Looked(took_ns);
}

std::vector<AutomaticCleanup::Subject> AutomaticCleanup::Subjects() {
  std::vector<Subject> subjects;
  std::map<int64_t, Known> known;
  for (WorkspaceRecord& workspace : verbs_.store().rows().ListWorkspaces()) {
    const int64_t id = workspace.id;
    Settings settings = verbs_.store().SettingsFor(id);
    if (!settings.IsOn(kCleanupAuto)) continue;
    known[id] = known_[id];
    const CleanupRequest request = RequestFor(id, settings, known[id]);
    subjects.push_back({std::move(workspace), std::move(settings), request});
  }
  known_ = std::move(known);
  return subjects;
}

CleanupRequest AutomaticCleanup::RequestFor(int64_t workspace_id, const Settings& settings,
                                            Known& known) const {
  const int64_t min_age_ns = settings.SpanNs(kCleanupMinAge).value_or(0);
  const int64_t largest_id = verbs_.store().rows().LargestSnapshotId(workspace_id);
  return {.workspace_id = workspace_id,
          .rules = settings.Rules(),
          .min_age_ns = min_age_ns,
          .old_up_to_id = known.seen.Look(largest_id, min_age_ns, LookPace::UpNs())};
}

bool AutomaticCleanup::IsCleanupDue(const Subject& subject) {
  AutomaticRunTimes times{
      .cleanup = known_[subject.workspace.id].last, .looked_up_ns = {}, .newest_checkpoint_ns = {}};
  const int64_t cleaned_ns = verbs_.store().rows().CleanedNs(subject.workspace.id);
  if (cleaned_ns != 0) times.cleanup.wall_ns = cleaned_ns;
  return DueNow(subject.settings, times, ReadClocks()).cleanup;
}

void AutomaticCleanup::CleanUpWorkspace(const Subject& subject) {
  size_t removed = 0;
  size_t failed = 0;
  try {
    if (!subject.request.rules.IsEmpty()) {
      CleanUp(verbs_, subject.request, /*dry_run=*/false, [&](const CleanupOutcome& outcome) {
        removed += outcome.was_removed ? 1 : 0;
        failed += outcome.error.empty() ? 0 : 1;
        return !stopping_;
      });
    }
    // If it was stopped, the next mount does the rest at once.
    if (!stopping_) verbs_.store().NoteCleanup(subject.workspace.id);
  } catch (const Error& error) {
    if (error.errno_value() == ENOENT) return;  // it was removed meanwhile
    spdlog::warn("automatic cleanup of {}: {}", subject.workspace.name, error.what());
  }
  known_[subject.workspace.id].last.up_ns = LookPace::UpNs();
  if (removed + failed == 0) return;
  spdlog::info("automatic cleanup of {}: {} removed, {} failed", subject.workspace.name, removed,
               failed);
}

}  // namespace ckptfs
