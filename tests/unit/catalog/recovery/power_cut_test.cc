// What a power cut leaves: a copy of the store's files, taken while an operation stands still. The
// image is written with direct I/O, so a copy of it lacks whatever btrfs had not written out.
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "catalog/store/failpoints.h"
#include "tests/unit/catalog/store/store_fixture.h"
#include "tests/unit/catalog/store/store_steps.h"

namespace ckptfs {
namespace {

namespace fs = std::filesystem;

struct Cut {
  const char* name;
  const char* step;
  std::vector<std::string> failpoints;
  // The step that is found to have been done: what the operation's caller could have been told of.
  // Empty: none.
  std::string done;
  // The catalog has lost what was not flushed.
  bool old_catalog = false;
};

class PowerCutTest : public StoreTest, public testing::WithParamInterface<Cut> {
 protected:
  // True once so many threads of that process sleep in failpoints.
  static bool Stands(pid_t process, int64_t threads) {
    std::error_code error;
    const std::string tasks = "/proc/" + std::to_string(process) + "/task";
    for (const auto& task : fs::directory_iterator(tasks, error)) {
      long number = -1;
      std::ifstream(task.path() / "syscall") >> number;
      if (number == SYS_clock_nanosleep) --threads;
    }
    return threads == 0;
  }

  // Runs the step up to the failpoint (of several threads to one each), copies the store as the disk
  // has it, and lets go.
  bool CutAt(const std::string& step, const std::vector<std::string>& failpoints) {
    const auto threads = static_cast<int64_t>(failpoints.size());
    const pid_t child =
        StartStep(step, StorePath(), fmt::format("{}~60000", fmt::join(failpoints, "~60000,")));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(40);
    bool stands = false;
    while (!(stands = Stands(child, threads)) && std::chrono::steady_clock::now() < deadline &&
           waitpid(child, nullptr, WNOHANG) == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    const std::string copy = directory_->Path("cut");
    if (stands) CopyStore(StorePath(), copy);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    if (!stands) return false;
    fs::remove_all(StorePath());
    fs::rename(copy, StorePath());
    return true;
  }
};

TEST_P(PowerCutTest, WhatWasPromisedIsThere) {
  Reopen();
  FillForSteps();
  Close();
  fs::rename(StorePath(), directory_->Path("template"));
  CopyStore(directory_->Path("template"), StorePath());
  const std::string done = GetParam().done.empty() ? "open" : GetParam().done;
  ASSERT_EQ(RunStep(done, StorePath(), ""), StepEnd::kDone);
  Reopen();
  const StoreView expected = Look(store());
  Close();
  CopyStore(directory_->Path("template"), StorePath());
  if (!CutAt(GetParam().step, GetParam().failpoints)) {
    GTEST_SKIP() << "/proc does not tell that the failpoint was reached";
  }
  if (GetParam().old_catalog) {
    fs::remove(StorePath() + "/catalog.db-wal");
    fs::copy_file(directory_->Path("template") + "/catalog.db", StorePath() + "/catalog.db",
                  fs::copy_options::overwrite_existing);
  }
  Reopen();
  EXPECT_FALSE(store().Status().clean_start);
  EXPECT_EQ(Look(store()), expected);
  ExpectSound();
  Reopen();
  EXPECT_THAT(store().Status().warnings, testing::IsEmpty());
  ExpectSound();
}

const Cut kCuts[] = {
    {"CreatePrepared", "create", {"workspace.before-commit"}, ""},
    {"Created", "create", {"workspace.after-commit"}, "create"},
    {"Imported", "import", {"import.after-commit"}, "import"},
    {"CheckpointNamed", "checkpoint", {"checkpoint.after-sidecar"}, ""},
    {"CheckpointTaken", "checkpoint", {"checkpoint.after-snapshot"}, "checkpoint"},
    {"Checkpointed", "checkpoint", {"checkpoint.after-commit"}, "checkpoint"},
    {"CheckpointLostItsRow", "checkpoint", {"checkpoint.after-commit"}, "checkpoint", true},
    {"CheckpointsLostTheirRows",
     "checkpoints",
     {"checkpoints.made", "flush.begin"},
     "checkpoints",
     true},
    {"CheckpointsLostTheirRowsInAFork",
     "checkpoints-fork",
     {"fork.before-commit", "flush.begin"},
     "checkpoints",
     true},
    {"Edited", "edit", {"edit.after-sidecar"}, "edit"},
    // The subvolume is there again: its tombstone deletes it once more.
    {"Deleted", "delete", {"delete.after-destroy"}, "delete"},
    {"DeletedForGood", "delete", {"delete.before-tombstone-drop"}, "delete"},
    {"RollbackPrepared", "rollback", {"rollback.before-commit"}, ""},
    {"RolledBack", "rollback", {"rollback.after-commit"}, "rollback"},
    {"RolledBackWithSidecars", "rollback", {"flush.after-sidecars"}, "rollback"},
    {"Exchanged", "exchange", {"rollback.after-destroy"}, "exchange"},
    {"Dropped", "rollback-unchanged", {"rollback.after-destroy"}, "rollback-unchanged"},
    {"Forked", "fork", {"fork.after-commit"}, "fork"},
    {"Compared", "diff", {"diff.after-destroy"}, "diff"},
};
INSTANTIATE_TEST_SUITE_P(Cuts, PowerCutTest, testing::ValuesIn(kCuts),
                         [](const auto& cut) { return std::string(cut.param.name); });

}  // namespace
}  // namespace ckptfs
