#include "catalog/db/row_check.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <functional>
#include <vector>

#include "backend/base/error.h"
#include "catalog/db/view_numbers.h"
#include "catalog/trees/names.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

Uuid Numbered(int64_t number) {
  return *Uuid::Parse(fmt::format("00000000-0000-4000-8000-{:012}", number));
}

WorkspaceRecord Workspace(int64_t id, std::optional<int64_t> parent = {}) {
  return {.id = id, .name = "w", .volume = Numbered(id), .view = 1, .parent_id = parent};
}

SnapshotRecord Snapshot(int64_t id, std::optional<int64_t> parent = {}) {
  return {.id = id,
          .uuid = Numbered(100 + id),
          .workspace_id = 1,
          .name = "s",
          .volume = Numbered(100 + id),
          .parent_id = parent,
          .view = 4096,
          .root = {.mode = S_IFDIR | 0755}};
}

int Check(const std::vector<WorkspaceRecord>& workspaces,
          const std::vector<SnapshotRecord>& snapshots) {
  return ErrorOf([&] {
           RowCheck check;
           for (const WorkspaceRecord& workspace : workspaces) check.Add(workspace);
           for (const SnapshotRecord& snapshot : snapshots) check.Add(snapshot);
           check.RequireReferences();
         })
      .errno_value();
}

TEST(RowCheck, TakesRowsThatGoTogether) {
  EXPECT_EQ(Check({}, {}), 0);
  EXPECT_EQ(Check({Workspace(1, 3)}, {Snapshot(1), Snapshot(3, 2), Snapshot(2, 1)}), 0);
}

TEST(RowCheck, FindsWhatIsReferredToAndNotThere) {
  EXPECT_EQ(Check({Workspace(1, 3)}, {Snapshot(1)}), EUCLEAN);
  EXPECT_EQ(Check({Workspace(1)}, {Snapshot(1, 3)}), EUCLEAN);
  EXPECT_EQ(Check({Workspace(2)}, {Snapshot(1)}), EUCLEAN);
}

TEST(RowCheck, FindsCircles) {
  EXPECT_EQ(Check({Workspace(1)}, {Snapshot(1, 1)}), EUCLEAN);
  EXPECT_EQ(Check({Workspace(1)}, {Snapshot(1, 2), Snapshot(2, 3), Snapshot(3, 1), Snapshot(4, 1)}),
            EUCLEAN);
}

TEST(RowCheck, FindsVolumesOfTwo) {
  SnapshotRecord other = Snapshot(1);
  other.volume = Numbered(1);
  EXPECT_EQ(Check({Workspace(1)}, {other}), EUCLEAN);
}

TEST(Records, AreLookedAt) {
  const auto is_sound = [](const std::function<void(SnapshotRecord&)>& change) {
    SnapshotRecord snapshot = Snapshot(1);
    change(snapshot);
    return ErrorOf([&] { RequireSound(snapshot); }).errno_value() == 0;
  };
  EXPECT_TRUE(is_sound([](SnapshotRecord&) {}));
  EXPECT_FALSE(is_sound([](SnapshotRecord& snapshot) { snapshot.name = "../x"; }));
  EXPECT_FALSE(is_sound([](SnapshotRecord& snapshot) { snapshot.view = kMaxView + 1; }));
  EXPECT_FALSE(is_sound([](SnapshotRecord& snapshot) { snapshot.created_ns = INT64_MAX; }));
  EXPECT_FALSE(is_sound([](SnapshotRecord& snapshot) { snapshot.id = -1; }));
  EXPECT_FALSE(is_sound([](SnapshotRecord& snapshot) { snapshot.root.mode = S_IFREG | 0644; }));
  EXPECT_FALSE(is_sound([](SnapshotRecord& snapshot) { snapshot.root.xattr_names = "user.a"; }));
  EXPECT_FALSE(is_sound([](SnapshotRecord& snapshot) { snapshot.message.resize(100'000); }));
}

TEST(Records, TimesOfOthersAreBroughtIntoRange) {
  EXPECT_EQ(SoundTime(1, 5), 1'000'000'005);
  EXPECT_LE(SoundTime(INT64_MAX, INT64_MAX), kTimeNsMax);
  EXPECT_EQ(SoundTime(INT64_MIN, INT64_MIN), 0);
}

TEST(Names, WithASuffixAreNamesStill) {
  EXPECT_EQ(NameWithSuffix("w", 2), "w-2");
  std::string name;
  while (name.size() + 2 <= kMaxNameBytes) name += "é";
  const std::string longer = NameWithSuffix(name, 12345);
  EXPECT_LE(longer.size(), kMaxNameBytes);
  EXPECT_TRUE(longer.ends_with("-12345"));
  CheckName("snapshot", longer);
}

}  // namespace
}  // namespace ckptfs
