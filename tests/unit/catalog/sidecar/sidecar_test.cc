#include "catalog/sidecar/sidecar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cerrno>

#include "backend/base/error.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Sidecar Example() {
  Sidecar sidecar;
  sidecar.volume = VolumeId::Generate();
  sidecar.role = SidecarRole::kSnapshot;
  sidecar.state = SidecarState::kPrepared;
  sidecar.generation = 42;
  sidecar.workspace = {.name = "w", .volume = VolumeId::Generate(), .created_ns = 5, .view = 3};
  sidecar.snapshot = {.uuid = Uuid::Generate(),
                      .name = "näme \"with\" all",
                      .created_ns = 1'700'000'000'123'456'789,
                      .message = "two\nlines",
                      .metadata = R"({"k":"v"})",
                      .pinned = true,
                      .kind = SnapshotKind::kPreRollback,
                      .view = 16777215,
                      .root = {.mode = S_IFDIR | 01777,
                               .uid = 4294967294,
                               .gid = 7,
                               .acl = std::string("\0\x01\xfe", 3),
                               .xattr_names = std::string("user.a\0", 7)},
                      .unlinked_open = 2,
                      .moment = SnapshotMoment::kCrashConsistent,
                      .moment_reason = "a write took long"};
  sidecar.parent = Uuid::Generate();
  return sidecar;
}

TEST(Sidecar, ComesBackAsItWasWritten) {
  const Sidecar written = Example();
  const Sidecar read = ParseSidecar(SerializeSidecar(written));
  EXPECT_EQ(SerializeSidecar(read), SerializeSidecar(written));
  EXPECT_EQ(read.generation, 42U);
  EXPECT_EQ(read.state, SidecarState::kPrepared);
  EXPECT_EQ(read.snapshot.created_ns, written.snapshot.created_ns);
  EXPECT_EQ(read.snapshot.root.acl, written.snapshot.root.acl);
  EXPECT_EQ(read.snapshot.root.xattr_names, written.snapshot.root.xattr_names);
  EXPECT_EQ(read.snapshot.root.uid, 4294967294U);
  EXPECT_EQ(read.snapshot.message, written.snapshot.message);
  EXPECT_EQ(read.parent, written.parent);
  EXPECT_EQ(read.workspace.view, 3U);
  EXPECT_EQ(read.snapshot.moment, SnapshotMoment::kCrashConsistent);
  EXPECT_EQ(read.snapshot.moment_reason, "a write took long");
}

// It says nothing of the moment, and is as good as one that says "unknown": fsck finds nothing wrong.
TEST(Sidecar, OfAnOlderProgramIsRead) {
  Sidecar old = Example();
  old.snapshot.moment = SnapshotMoment::kUnknown;
  old.snapshot.moment_reason.clear();
  std::string text = SerializeSidecar(old);
  const std::string_view fields = R"(,"moment":"unknown","moment_reason":"")";
  const size_t at = text.find(fields);
  ASSERT_NE(at, std::string::npos) << text;
  const Sidecar read = ParseSidecar(text.erase(at, fields.size()));
  EXPECT_EQ(read.snapshot.moment, SnapshotMoment::kUnknown);
  EXPECT_TRUE(read.SameRow(old));
  EXPECT_FALSE(read.SameRow(Example()));
}

TEST(Sidecar, OfALiveTreeTellsTheMarker) {
  Sidecar written = Example();
  written.role = SidecarRole::kWorkspace;
  written.workspace.parent_marker = UINT64_MAX;
  const Sidecar read = ParseSidecar(SerializeSidecar(written));
  EXPECT_EQ(read.role, SidecarRole::kWorkspace);
  EXPECT_EQ(read.workspace.parent_marker, UINT64_MAX);
  EXPECT_EQ(read.parent, written.parent);
}

TEST(Sidecar, OfALiveTreeTellsWhatIsSet) {
  Sidecar written = Example();
  written.role = SidecarRole::kWorkspace;
  const Sidecar without = ParseSidecar(SerializeSidecar(written));
  EXPECT_THAT(without.settings, IsEmpty());
  written.settings = {{"keep.daily", "7"}, {"keep.last", "30m"}, {"of.newer", "1"}};
  const Sidecar read = ParseSidecar(SerializeSidecar(written));
  EXPECT_EQ(read.settings, (SettingMap{{"keep.daily", "7"}})) << "what cannot be set is left out";
  EXPECT_FALSE(read.SameRow(without));
}

TEST(Sidecar, IsStaleWhenTheRowHasChanged) {
  const Sidecar one = Example();
  Sidecar other = one;
  other.generation = 43;
  other.workspace.name = "renamed";
  EXPECT_TRUE(one.SameRow(other));
  other.snapshot.message = "another";
  EXPECT_FALSE(one.SameRow(other));
  other = one;
  other.state = SidecarState::kCommitted;
  EXPECT_FALSE(one.SameRow(other));
}

TEST(Sidecar, EveryDamageIsNoticed) {
  const std::string good = SerializeSidecar(Example());
  const auto damaged = [](const std::string& text) {
    try {
      ParseSidecar(text);
      return false;
    } catch (const Error& error) {
      return error.errno_value() == EUCLEAN;
    }
  };
  EXPECT_FALSE(damaged(good));
  for (size_t size = 0; size + 2 < good.size(); ++size) {
    EXPECT_TRUE(damaged(good.substr(0, size))) << size;
  }
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  EXPECT_TRUE(damaged("[]"));
  EXPECT_TRUE(damaged("{}"));
  EXPECT_TRUE(damaged(with("\"format\":1", "\"format\":2")));
  EXPECT_TRUE(damaged(with("\"role\":\"snapshot\"", "\"role\":\"guest\"")));
  EXPECT_TRUE(damaged(with("\"state\":\"prepared\"", "\"state\":3")));
  EXPECT_TRUE(damaged(with("16777215", "16777216")));
  EXPECT_TRUE(damaged(with("0001fe", "0001f")));
  EXPECT_TRUE(damaged(with("\"pinned\":true", "\"pinned\":\"yes\"")));
  EXPECT_TRUE(damaged(with("\"crash-consistent\"", "1")));
  EXPECT_TRUE(damaged(with("\"name\":\"w\"", "\"name\":\"../w\"")));
}

class MetaDirectoryTest : public testing::Test {
 protected:
  TestDirectory directory_;
  MetaDirectory meta_{directory_.fd()};
};

TEST_F(MetaDirectoryTest, WritesReplacesReadsAndRemoves) {
  Sidecar sidecar = Example();
  EXPECT_FALSE(meta_.Read(sidecar.volume));
  meta_.Write(sidecar);
  sidecar.snapshot.message = "short";
  meta_.Write(sidecar);
  EXPECT_EQ(meta_.Read(sidecar.volume)->snapshot.message, "short");
  EXPECT_THAT(meta_.List().sidecars, ElementsAre(sidecar.volume));
  EXPECT_TRUE(meta_.Remove(sidecar.volume));
  EXPECT_FALSE(meta_.Remove(sidecar.volume));
  EXPECT_THAT(meta_.List().sidecars, IsEmpty());
}

TEST_F(MetaDirectoryTest, TellsWhatIsNotItsOwn) {
  const Sidecar sidecar = Example();
  meta_.Write(sidecar);
  WriteFileAt(directory_.fd(), sidecar.volume.str() + ".json.new", "half");
  WriteFileAt(directory_.fd(), "notes.txt", "mine");
  WriteFileAt(directory_.fd(), "ABC.json", "mine");
  EXPECT_THAT(meta_.List().leftovers, ElementsAre(sidecar.volume.str() + ".json.new"));
  EXPECT_THAT(meta_.List().foreign, testing::UnorderedElementsAre("notes.txt", "ABC.json"));
  WriteFileAt(directory_.fd(), "x.json.new", "mine");
  EXPECT_FALSE(meta_.RemoveLeftover("x.json.new"));
  EXPECT_TRUE(meta_.RemoveLeftover(sidecar.volume.str() + ".json.new"));
  EXPECT_FALSE(meta_.RemoveLeftover(sidecar.volume.str() + ".json.new"));
  EXPECT_THAT(meta_.List().leftovers, IsEmpty());
}

TEST_F(MetaDirectoryTest, ASidecarOfAnotherVolumeIsDamaged) {
  const Sidecar sidecar = Example();
  const VolumeId other = VolumeId::Generate();
  WriteFileAt(directory_.fd(), other.str() + ".json", SerializeSidecar(sidecar));
  EXPECT_THROW(meta_.Read(other), Error);
}

TEST_F(MetaDirectoryTest, CountsGenerations) {
  EXPECT_EQ(meta_.Generation(), 0U);
  meta_.SetGeneration(kMaxGeneration);
  EXPECT_EQ(meta_.Generation(), kMaxGeneration);
  meta_.SetGeneration(kMaxGeneration + 1);
  EXPECT_THROW(meta_.Generation(), Error);
  ASSERT_EQ(fsetxattr(directory_.fd(), "user.ckptfs.generation", "1x", 2, 0), 0);
  EXPECT_THROW(meta_.Generation(), Error);
}

TEST_F(MetaDirectoryTest, KeepsTheStoresFacts) {
  EXPECT_FALSE(meta_.ReadStore());
  const StoreFacts facts{.uuid = Uuid::Generate(),
                         .created_ns = 1,
                         .backend_type = "btrfs-loop",
                         .backend_selection = "asked for",
                         .backend_selected_ns = 2};
  meta_.WriteStore({.facts = facts,
                    .mount_root = {.mode = S_IFDIR | 0700, .uid = 1, .gid = 2, .acl = "x"},
                    .settings = {{"keep.last", "3"}}});
  const auto file = meta_.ReadStore();
  ASSERT_TRUE(file);
  EXPECT_EQ(file->facts.uuid, facts.uuid);
  EXPECT_EQ(file->facts.backend_selected_ns, 2);
  EXPECT_EQ(file->mount_root.acl, "x");
  EXPECT_EQ(file->settings, (SettingMap{{"keep.last", "3"}}));
  EXPECT_THAT(meta_.List().foreign, IsEmpty());
  WriteFileAt(directory_.fd(), "store.json", "{");
  EXPECT_FALSE(meta_.ReadStore());
}

}  // namespace
}  // namespace ckptfs
