// A subvolume to change and compare, for the tests of backend/btrfs/changes.h.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/base/error.h"
#include "backend/btrfs/changes.h"
#include "backend/btrfs/quick_look.h"
#include "backend/btrfs/subvolume_files.h"
#include "backend/compare/tree_comparison.h"
#include "tests/unit/backend/btrfs/change_oracle.h"
#include "tests/unit/backend/btrfs/scratch_btrfs.h"
#include "tests/unit/backend/comparisons.h"

namespace ckptfs {

// One filesystem per suite, one writable subvolume per test. Every comparison is made from the kernel's send
// stream, by a walk and by the public function, and each result is checked against the oracle.
class ChangesFixture : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (geteuid() != 0) return;
    filesystem_ = std::make_unique<ScratchBtrfs>();
  }
  static void TearDownTestSuite() { filesystem_.reset(); }

  void SetUp() override {
    if (!filesystem_) GTEST_SKIP() << "needs root, for a loop device and a mount";
    live_ = filesystem_->MakeSubvolume(NewName());
  }

  Tree Live() const { return Tree(live_.get()); }
  int live_fd() const { return live_.get(); }
  static ScratchBtrfs& filesystem() { return *filesystem_; }
  static std::string NewName() { return fmt::format("volume-{}", ++counter_); }

  UniqueFd Snapshot() const { return filesystem_->Snapshot(live_.get(), NewName()); }
  static UniqueFd Snapshot(const UniqueFd& volume) {
    return filesystem_->Snapshot(volume.get(), NewName());
  }

  // The changes from `older` to `newer`, as lines, after checking all ways to find them.
  static std::vector<std::string> Compare(const UniqueFd& older, const UniqueFd& newer) {
    const auto expected = Lines(ExpectedChanges(older.get(), newer.get()));
    const auto changes = CompareSubvolumes(older.get(), newer.get(), bounds_);
    EXPECT_EQ(Lines(changes), expected);
    EXPECT_EQ(CheckOutcome(older.get(), newer.get(), changes), "");
    EXPECT_EQ(Lines(CompareSubvolumesByWalk(older.get(), newer.get())), expected) << "by walk";
    ExpectQuickLooksAllow(older, newer, changes.empty());
    return Lines(changes);
  }

  // Checks that quick looks do not take equal volumes for different.
  static void ExpectQuickLooksAllow(const UniqueFd& older, const UniqueFd& newer, bool are_equal) {
    if (!are_equal) return;
    EXPECT_TRUE(SubvolumesMayBeEqual(older.get(), newer.get(), SIZE_MAX, NoLimits()));
    EXPECT_TRUE(MayBeEqualByWalking(SubvolumeFiles(older.get(), NoLimits()),
                                    SubvolumeFiles(newer.get(), NoLimits()), SIZE_MAX));
  }

  // The same in both directions, for volumes with a common history, where the kernel's send stream must work.
  static std::vector<std::string> CompareRelated(const UniqueFd& older, const UniqueFd& newer) {
    EXPECT_EQ(Lines(CompareSubvolumesBySend(newer.get(), older.get())),
              Lines(ExpectedChanges(newer.get(), older.get())))
        << "backwards";
    EXPECT_EQ(Lines(CompareSubvolumesBySend(older.get(), newer.get())),
              Lines(ExpectedChanges(older.get(), newer.get())));
    return Compare(older, newer);
  }

  // The live volume's changes since `older`.
  std::vector<std::string> ChangesSince(const UniqueFd& older) const {
    return CompareRelated(older, Snapshot());
  }

  inline static PathBounds bounds_;

 private:
  inline static std::unique_ptr<ScratchBtrfs> filesystem_;
  inline static int counter_ = 0;
  UniqueFd live_;
};

}  // namespace ckptfs
