#include "tests/moment/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

namespace ckptfs::moment {

class WriterCheck::Differences {
 public:
  Differences(const Tree& found, const Model& model) : found_(found), model_(model) {
    for (const std::string& path : model_.AllPaths(found_)) Look(path);
  }

  // Applies the next operation, and looks again at what it concerns.
  void Apply(uint64_t number, const Operation& operation) {
    std::set<std::string> concerned = model_.Concerned(operation);
    model_.Apply(number, operation);
    concerned.merge(model_.Concerned(operation));
    for (const std::string& path : concerned) Look(path);
  }

  const std::map<std::string, std::string>& all() const { return differences_; }

 private:
  void Look(const std::string& path) {
    std::optional<std::string> difference = model_.Difference(found_, path);
    if (difference) {
      differences_[path] = std::move(*difference);
    } else {
      differences_.erase(path);
    }
  }

  const Tree& found_;
  Model model_;  // a copy, which goes on from there
  std::map<std::string, std::string> differences_;
};

const Operation& WriterCheck::At(uint64_t number) {
  while (ahead_.size() < number - applied_) ahead_.push_back(sequence_.Next());
  return ahead_[number - applied_ - 1];
}

void WriterCheck::AdvanceTo(uint64_t number) {
  while (applied_ < number) {
    model_.Apply(applied_ + 1, At(applied_ + 1));
    ahead_.pop_front();
    ++applied_;
  }
}

bool WriterCheck::Find(const Tree& found, uint64_t earliest, uint64_t latest, Fit& fit,
                       std::vector<std::string>& problems) {
  AdvanceTo(earliest);
  Differences differences(found, model_);
  bool fits = false;
  size_t fewest = std::numeric_limits<size_t>::max();
  uint64_t nearest = earliest;
  for (uint64_t n = earliest;; ++n) {
    if (differences.all().empty()) {
      if (!fits) fit.first = n;
      fit.last = n;
      fits = true;
    }
    if (differences.all().size() < fewest) {
      fewest = differences.all().size();
      nearest = n;
    }
    if (n == latest) break;
    differences.Apply(n + 1, At(n + 1));
  }
  const bool stores_fit = CheckStores(found, latest, problems);
  if (!fits) Explain(found, earliest, latest, nearest, problems);
  return fits && stores_fit;
}

// Says what differs from the nearest state, and after which operations each of those files looked
// as it was found: that tells what was too early and what too late.
void WriterCheck::Explain(const Tree& found, uint64_t earliest, uint64_t latest, uint64_t nearest,
                          std::vector<std::string>& problems) {
  Differences differences(found, model_);
  std::map<std::string, std::string> at_nearest;
  std::map<std::string, Fit> fits;  // of each path alone
  const std::set<std::string> paths = [&] {
    Differences until(found, model_);
    for (uint64_t n = earliest; n < nearest; ++n) until.Apply(n + 1, At(n + 1));
    at_nearest = until.all();
    std::set<std::string> concerned;
    for (const auto& [path, difference] : at_nearest) concerned.insert(path);
    return concerned;
  }();
  for (uint64_t n = earliest;; ++n) {
    for (const std::string& path : paths) {
      if (differences.all().contains(path)) continue;
      fits.try_emplace(path, Fit{.first = n, .last = n}).first->second.last = n;
    }
    if (n == latest) break;
    differences.Apply(n + 1, At(n + 1));
  }
  problems.push_back(fmt::format(
      "writer {}: no state between {} and {} operations; nearest is {} ({})", writer_, earliest,
      latest, nearest, nearest == applied_ ? "all that had returned" : Describe(At(nearest))));
  for (const auto& [path, difference] : at_nearest) {
    const auto alone = fits.find(path);
    problems.push_back(fmt::format(
        "    {} {}; alone it fits {}", path, difference,
        alone == fits.end() ? "nowhere"
                            : fmt::format("{} to {}", alone->second.first, alone->second.last)));
  }
}

bool WriterCheck::CheckStores(const Tree& found, uint64_t latest,
                              std::vector<std::string>& problems) {
  size_t wrong = 0;
  for (const auto& [path, entry] : found) {
    const std::string* before = model_.MappedContent(path);
    if (before == nullptr || before->size() != entry.content.size()) continue;
    for (size_t offset = 0; offset < before->size(); offset += sizeof(uint64_t)) {
      uint64_t expected = 0;
      uint64_t got = 0;
      std::memcpy(&expected, before->data() + offset, sizeof expected);
      std::memcpy(&got, entry.content.data() + offset, sizeof got);
      if (got == expected) continue;
      if (got > applied_ && got <= latest) {
        const Operation& store = At(got);
        if (store.kind == Kind::kStore && static_cast<size_t>(store.offset) == offset) continue;
      }
      if (++wrong == 1) {
        problems.push_back(fmt::format(
            "writer {}: {} at {} holds the store of operation {}, expected that of {} or a later "
            "one; {} operations had returned, {} had begun",
            writer_, path, offset, got, expected, applied_, latest));
      }
    }
  }
  if (wrong > 1) problems.push_back(fmt::format("    and {} more words", wrong - 1));
  return wrong == 0;
}

std::string WriterDirectory(const std::string& case_name, int writer) {
  return fmt::format("{}-{}", case_name, writer);
}

namespace {

// Whether there is one instant at which all that is in had begun, and nothing that is not in had
// returned.
bool IsOneInstant(const std::vector<Fit>& fits, const WriterLog& log,
                  std::vector<std::string>& problems) {
  int64_t last_began = 0;
  int64_t first_returned = std::numeric_limits<int64_t>::max();
  int late = 0;
  int missing = 0;
  for (int writer = 0; writer < log.writers(); ++writer) {
    const Fit& fit = fits[static_cast<size_t>(writer)];
    const int64_t began = fit.first == 0 ? 0 : log.BeganNs(writer, fit.first);
    const int64_t returned = log.ReturnedNs(writer, fit.last + 1);
    if (began > last_began) {
      last_began = began;
      late = writer;
    }
    if (returned < first_returned) {
      first_returned = returned;
      missing = writer;
    }
  }
  if (last_began <= first_returned) return true;
  problems.push_back(fmt::format(
      "operation {} of writer {} is in it, and began {:.3f} ms after operation {} of writer {} had "
      "returned, which is not in it",
      fits[static_cast<size_t>(late)].first, late,
      static_cast<double>(last_began - first_returned) / 1e6,
      fits[static_cast<size_t>(missing)].last + 1, missing));
  return false;
}

}  // namespace

size_t CountBroken(const CheckRequest& request, const WriterLog& log,
                   const std::vector<Checkpoint>& checkpoints) {
  std::vector<WriterCheck> checks;
  checks.reserve(static_cast<size_t>(log.writers()));
  for (int writer = 0; writer < log.writers(); ++writer) {
    checks.emplace_back(request.case_name, request.seed, writer);
  }
  size_t broken = 0;
  for (const Checkpoint& checkpoint : checkpoints) {
    std::vector<std::string> problems;
    std::vector<Fit> fits(checks.size());
    bool all_fit = true;
    for (size_t writer = 0; writer < checks.size(); ++writer) {
      const Tree found = ReadTree(request.snapshots + "/" + checkpoint.name + "/" +
                                  WriterDirectory(request.case_name, static_cast<int>(writer)));
      all_fit &= checks[writer].Find(found, checkpoint.returned_before[writer],
                                     checkpoint.begun_after[writer], fits[writer], problems);
    }
    if (all_fit) all_fit = IsOneInstant(fits, log, problems);
    if (all_fit) continue;
    if (++broken > request.reports_max) continue;
    fmt::print("{} is no moment:\n", checkpoint.name);
    for (const std::string& problem : problems) fmt::print("  {}\n", problem);
  }
  return broken;
}

}  // namespace ckptfs::moment
