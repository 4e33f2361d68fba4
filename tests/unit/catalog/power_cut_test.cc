// What a power cut leaves: a copy of the store's files, taken while an operation stands still. The
// image is written with direct I/O, so a copy of it lacks whatever btrfs had not written out.
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

#include "catalog/failpoints.h"
#include "tests/unit/catalog/store_fixture.h"

namespace ckptfs {
namespace {

namespace fs = std::filesystem;

struct Cut {
  const char* name;
  const char* step;
  const char* failpoint;
  bool happened;  // the operation's caller could have been told so, or must not have been
};

class PowerCutTest : public StoreTest, public testing::WithParamInterface<Cut> {
 protected:
  // True once a thread of that process sleeps in a failpoint.
  static bool Stands(pid_t process) {
    std::error_code error;
    const std::string tasks = "/proc/" + std::to_string(process) + "/task";
    for (const auto& task : fs::directory_iterator(tasks, error)) {
      long number = -1;
      std::ifstream(task.path() / "syscall") >> number;
      if (number == SYS_clock_nanosleep) return true;
    }
    return false;
  }

  // Runs the step up to the failpoint, copies the store as the disk has it, and lets go.
  bool CutAt(const std::string& step, const std::string& failpoint) {
    const pid_t child = StartStep(step, StorePath(), failpoint + "~60000");
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(40);
    bool stands = false;
    while (!(stands = Stands(child)) && std::chrono::steady_clock::now() < deadline &&
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
  const StoreView before = Look(store());
  Close();
  fs::rename(StorePath(), directory_->Path("template"));
  CopyStore(directory_->Path("template"), StorePath());
  ASSERT_EQ(RunStep(GetParam().step, StorePath(), ""), StepEnd::kDone);
  Reopen();
  const StoreView after = Look(store());
  Close();
  CopyStore(directory_->Path("template"), StorePath());
  if (!CutAt(GetParam().step, GetParam().failpoint)) {
    GTEST_SKIP() << "/proc does not tell that the failpoint was reached";
  }
  Reopen();
  EXPECT_FALSE(store().Status().clean_start);
  EXPECT_EQ(Look(store()), GetParam().happened ? after : before);
  ExpectSound();
  Reopen();
  EXPECT_THAT(store().Status().warnings, testing::IsEmpty());
  ExpectSound();
}

const Cut kCuts[] = {
    {"CreatePrepared", "create", "workspace.before-commit", false},
    {"Created", "create", "workspace.after-commit", true},
    {"Imported", "import", "import.after-commit", true},
    {"CheckpointPrepared", "checkpoint", "checkpoint.after-snapshot", false},
    {"Checkpointed", "checkpoint", "checkpoint.after-commit", true},
    {"Edited", "edit", "edit.after-sidecar", true},
    // The subvolume is there again: its tombstone deletes it once more.
    {"Deleted", "delete", "delete.after-destroy", true},
    {"DeletedForGood", "delete", "delete.before-tombstone-drop", true},
    {"RollbackPrepared", "rollback", "rollback.before-commit", false},
    {"RolledBack", "rollback", "rollback.after-commit", true},
    {"RolledBackAndSealed", "rollback", "rollback.after-sidecars", true},
    {"Exchanged", "exchange", "rollback.after-destroy", true},
    {"Dropped", "rollback-unchanged", "rollback.after-destroy", true},
    {"Forked", "fork", "fork.after-commit", true},
    {"Compared", "diff", "diff.after-destroy", true},
};
INSTANTIATE_TEST_SUITE_P(Cuts, PowerCutTest, testing::ValuesIn(kCuts),
                         [](const auto& cut) { return std::string(cut.param.name); });

}  // namespace
}  // namespace ckptfs
