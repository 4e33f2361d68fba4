// Every operation, killed at every step: those of the catalog, which are the same on each backend, and
// those of a backend on device-mapper, where CKPTFS_TEST_BACKEND names one. (Those of btrfs are found and
// killed by tests/crash.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <span>
#include <string_view>

#include "backend/base/error.h"
#include "catalog/store/failpoints.h"
#include "tests/unit/catalog/store/store_fixture.h"
#include "tests/unit/catalog/store/store_steps.h"

namespace ckptfs {
namespace {

struct Operation {
  const char* step;
  std::span<const std::string_view> failpoints;
};

// "open" has its own tests below.
const std::vector<Operation>& Operations() {
  static const std::vector<Operation> operations = {
      {"create", kCreateWorkspaceFailpoints},
      {"import", kImportFailpoints},
      {"rename-workspace", kRenameWorkspaceFailpoints},
      {"remove-workspace", kRemoveWorkspaceFailpoints},
      {"forget-workspace", kForgetWorkspaceFailpoints},
      {"checkpoint", kCheckpointFailpoints},
      {"delete", kDeleteFailpoints},
      {"edit", kEditFailpoints},
      {"setting", kSettingFailpoints},
      {"setting-of-store", kSettingFailpoints},
      {"rollback", kRollbackFailpoints},
      {"rollback-unchanged", kRollbackFailpoints},
      {"exchange", kRollbackFailpoints},
      {"promote", kRollbackFailpoints},
      {"fork", kForkFailpoints},
      {"diff", kDiffFailpoints},
      {"gc", kGcFailpoints},
  };
  return operations;
}

class CrashTest : public StoreTest, public testing::WithParamInterface<Operation> {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    Reopen();
    FillForSteps();
    before_ = Look(store());
    Close();
    std::filesystem::rename(StorePath(), directory_->Path("template"));
  }

  // A fresh copy of the store at StorePath().
  void Restore() { CopyStore(directory_->Path("template"), StorePath()); }

  StoreView AfterStep(const std::string& step) {
    Restore();
    EXPECT_EQ(RunStep(step, StorePath(), ""), StepEnd::kDone);
    Reopen();
    EXPECT_TRUE(store().Status().clean_start);
    ExpectSound();
    StoreView view = Look(store());
    Close();
    return view;
  }

  // After a kill: the state before or the state after, nothing lying about, and the same again.
  void ExpectRecovered(const StoreView& after) {
    Reopen();
    EXPECT_FALSE(store().Status().clean_start);
    EXPECT_FALSE(store().Status().read_only);
    const StoreView found = Look(store());
    EXPECT_THAT(found, testing::AnyOf(before_, after));
    ExpectSound();
    Reopen();
    EXPECT_TRUE(store().Status().clean_start);
    EXPECT_THAT(store().Status().warnings, testing::IsEmpty());
    EXPECT_EQ(Look(store()), found);
    ExpectSound();
    Close();
  }

  StoreView before_;
};

TEST_P(CrashTest, LeavesTheStateBeforeOrTheStateAfter) {
  const StoreView after = AfterStep(GetParam().step);
  for (const std::string_view failpoint : GetParam().failpoints) {
    SCOPED_TRACE(failpoint);
    Restore();
    ASSERT_EQ(RunStep(GetParam().step, StorePath(), std::string(failpoint)), StepEnd::kKilled);
    ExpectRecovered(after);
    if (HasFailure()) return;
  }
}

// Each point of the operation, then points of the recovery from it, in turn: all of them are met.
TEST_P(CrashTest, RecoveryMayBeKilledToo) {
  const StoreView after = AfterStep(GetParam().step);
  size_t turn = 0;
  for (const std::string_view failpoint : GetParam().failpoints) {
    Restore();
    ASSERT_EQ(RunStep(GetParam().step, StorePath(), std::string(failpoint)), StepEnd::kKilled);
    for (const size_t half : {size_t{0}, kRecoveryFailpoints.size() / 2}) {
      const std::string_view second =
          kRecoveryFailpoints[(turn + half) % kRecoveryFailpoints.size()];
      SCOPED_TRACE(std::string(failpoint) + ", " + std::string(second));
      ASSERT_EQ(RunStep("open", StorePath(), std::string(second)), StepEnd::kKilled);
    }
    ++turn;
    ExpectRecovered(after);
    if (HasFailure()) return;
  }
}

// Of a tree that was only read, the state before is kept for a moment, until it has been compared: killed in
// it, a rollback has happened, and the kept state may be there.
class ReadRollbackCrashTest : public CrashTest {};

TEST_P(ReadRollbackCrashTest, TheRollbackHasHappened) {
  const StoreView after = AfterStep(GetParam().step);
  for (const std::string_view failpoint : GetParam().failpoints) {
    SCOPED_TRACE(failpoint);
    Restore();
    ASSERT_EQ(RunStep(GetParam().step, StorePath(), std::string(failpoint)), StepEnd::kKilled);
    Reopen();
    const StoreView found = Look(store());
    EXPECT_EQ(Read(Workspace("still").volume), Read(Snapshot("still", "a").volume));
    const uint64_t snapshots = store().rows().CountSnapshots(Workspace("still").id);
    EXPECT_THAT(snapshots, testing::AnyOf(2U, 3U));
    if (snapshots == 2) {
      EXPECT_EQ(found, after);
    }
    ExpectSound();
    Reopen();
    EXPECT_EQ(Look(store()), found);
    ExpectSound();
    Close();
  }
}

constexpr std::array<std::string_view, 6> kDropFailpoints = {
    "rollback.before-drop", "delete.before-commit",   "delete.after-commit",
    "delete.after-destroy", "rollback.after-destroy", "delete.after-durable"};

INSTANTIATE_TEST_SUITE_P(Rollback, ReadRollbackCrashTest,
                         testing::Values(Operation{"rollback-read", kDropFailpoints}));

// A step that fails leaves the state before, without a restart.
TEST_P(CrashTest, AFailureLeavesTheStateBefore) {
  for (const std::string_view failpoint : GetParam().failpoints) {
    if (failpoint.find("after-commit") != std::string_view::npos) break;
    if (failpoint == "commit.before-generation") break;
    SCOPED_TRACE(failpoint);
    Restore();
    if (RunStep(GetParam().step, StorePath(), std::string(failpoint) + "=28") == StepEnd::kDone) {
      continue;  // in the background, where a failure is only logged
    }
    Reopen();
    EXPECT_EQ(Look(store()), before_);
    ExpectSound();
    Close();
    if (HasFailure()) return;
  }
}

std::string NameOf(const testing::TestParamInfo<Operation>& info) {
  std::string name = info.param.step;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Operations, CrashTest, testing::ValuesIn(Operations()), NameOf);

class OpenCrashTest : public CrashTest {};

// The first mount of a store that is not there.
TEST_P(OpenCrashTest, FirstMount) {
  std::vector<std::string> points(kFirstMountFailpoints.begin(), kFirstMountFailpoints.end());
  points.insert(points.end(), {"recovery.begin", "recovery.after-sidecars"});
  for (const std::string& failpoint : points) {
    SCOPED_TRACE(failpoint);
    std::filesystem::remove_all(StorePath());
    ASSERT_EQ(RunStep("open", StorePath(), failpoint), StepEnd::kKilled);
    Reopen();
    EXPECT_THAT(store().rows().ListWorkspaces(), testing::IsEmpty());
    EXPECT_FALSE(store().Status().read_only);
    MakeWorkspace("w", "x");
    ExpectSound();
    Close();
    if (HasFailure()) return;
  }
}

TEST_P(OpenCrashTest, RebuildOfALostCatalog) {
  std::vector<std::string> points(kRebuildFailpoints.begin(), kRebuildFailpoints.end());
  points.insert(points.end(), kRecoveryFailpoints.begin(), kRecoveryFailpoints.end());
  for (const std::string& failpoint : points) {
    SCOPED_TRACE(failpoint);
    Restore();
    std::filesystem::resize_file(StorePath() + "/catalog.db", 5000);
    ASSERT_EQ(RunStep("open", StorePath(), failpoint), StepEnd::kKilled);
    Reopen();
    EXPECT_EQ(Look(store()), before_);
    ExpectSound();
    Close();
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Open, OpenCrashTest, testing::Values(Operation{"open", {}}), NameOf);

// --- Backends on device-mapper ------------------------------------------------------------------

class BackendCrashTest : public CrashTest {
 protected:
  // What a step passes once the store is open, each as "NAME@N": the first one of each name, as the next
  // one leads to the same. Without those of the catalog.
  std::vector<std::string> PointsOf(const std::string& step, bool with_opening) const {
    const std::string path = directory_->Path("trace");
    std::filesystem::remove(path);
    EXPECT_EQ(RunStep(step, StorePath(), "", path), StepEnd::kDone);
    std::ifstream trace(path);
    std::map<std::string, int> counts;
    std::set<std::string> taken;
    std::vector<std::string> points;
    bool begun = with_opening;
    for (std::string name; std::getline(trace, name);) {
      const int count = ++counts[name];
      if (name == "step.begin") {
        begun = true;
      } else if (begun && IsOfBackend(name) && taken.insert(name).second) {
        points.push_back(name + "@" + std::to_string(count));
      }
    }
    return points;
  }

 private:
  static bool IsOfBackend(const std::string& name) {
    constexpr std::array<std::string_view, 7> kPrefixes = {
        "volume-",          "pool.",     "pool-recovery.", "reclaim.", "template.",
        "template-remove.", "dm-create."};
    return std::any_of(kPrefixes.begin(), kPrefixes.end(),
                       [&](std::string_view prefix) { return name.starts_with(prefix); });
  }
};

TEST_P(BackendCrashTest, LeavesTheStateBeforeOrTheStateAfter) {
  const StoreView after = AfterStep(GetParam().step);
  Restore();
  const std::vector<std::string> points = PointsOf(GetParam().step, /*with_opening=*/false);
  ASSERT_THAT(points, testing::Not(testing::IsEmpty()));
  for (const std::string& point : points) {
    SCOPED_TRACE(point);
    Restore();
    ASSERT_EQ(RunStep(GetParam().step, StorePath(), point), StepEnd::kKilled);
    // The recovery from that, killed at what is the backend's of it.
    if (point.starts_with("pool.")) {
      for (const char* second : {"pool-recovery.after-delete", "pool-recovery.after-commit"}) {
        ASSERT_EQ(RunStep("open", StorePath(), second), StepEnd::kKilled) << second;
      }
    }
    ExpectRecovered(after);
    Reopen();
    AwaitReclaimed(store());
    Close();
    if (HasFailure()) return;
  }
}

std::vector<Operation> BackendSteps() {
  if (!TestBackend().starts_with("dm-")) return {};
  return {
      {"create", {}},  {"checkpoint", {}},         {"rollback", {}},         {"fork", {}},
      {"delete", {}},  {"delete-and-reclaim", {}}, {"remove-workspace", {}}, {"add-template", {}},
      {"flatten", {}}, {"remove-template", {}}};
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BackendCrashTest);
INSTANTIATE_TEST_SUITE_P(Operations, BackendCrashTest, testing::ValuesIn(BackendSteps()), NameOf);

class BackendOpenCrashTest : public BackendCrashTest {};

TEST_P(BackendOpenCrashTest, FirstMount) {
  std::filesystem::remove_all(StorePath());
  const std::vector<std::string> points = PointsOf("open", /*with_opening=*/true);
  ASSERT_THAT(points, testing::Contains(testing::StartsWith("dm-create.done")));
  for (const std::string& point : points) {
    SCOPED_TRACE(point);
    std::filesystem::remove_all(StorePath());
    ASSERT_EQ(RunStep("open", StorePath(), point), StepEnd::kKilled);
    Reopen();
    MakeWorkspace("w", "x");
    ExpectSound();
    Close();
    if (HasFailure()) return;
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BackendOpenCrashTest);
INSTANTIATE_TEST_SUITE_P(Open, BackendOpenCrashTest,
                         testing::ValuesIn(BackendSteps().empty()
                                               ? std::vector<Operation>{}
                                               : std::vector<Operation>{{"open", {}}}),
                         NameOf);

}  // namespace
}  // namespace ckptfs
