// What changed where names have moved.
#include "tests/unit/backend/btrfs/changes_fixture.h"

namespace ckptfs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ChangesRenameTest : public ChangesFixture {};

TEST_F(ChangesRenameTest, ARenamedFile) {
  Live().Write("a", "1");
  Live().Write("b", "1");
  Live().MakeDirectory("d");
  const UniqueFd before = Snapshot();
  Live().Rename("a", "d/moved");
  Live().Rename("b", "c");
  Live().Write("c", "2");
  EXPECT_THAT(ChangesSince(before), ElementsAre("R b -> c", "M c", "R a -> d/moved"));
}

TEST_F(ChangesRenameTest, ARenamedDirectoryBringsItsChildren) {
  Live().MakeDirectory("d");
  Live().MakeDirectory("d/e");
  for (const char* name : {"d/1", "d/2", "d/3", "d/e/4", "d/e/5"}) Live().Write(name, name);
  const UniqueFd before = Snapshot();
  Live().Rename("d", "x");
  Live().Write("x/1", "new");
  Live().Unlink("x/2");
  Live().Rename("x/3", "x/e/3");
  Live().Write("x/e/new", "1");
  EXPECT_THAT(ChangesSince(before),
              ElementsAre("- d/2", "R d/ -> x/", "M x/1", "R d/3 -> x/e/3", "+ x/e/new"));
}

TEST_F(ChangesRenameTest, ARenamedDirectoryInARenamedDirectory) {
  Live().MakeDirectory("a");
  Live().MakeDirectory("a/b");
  Live().Write("a/b/c", "1");
  const UniqueFd before = Snapshot();
  Live().Rename("a/b", "b");
  Live().Rename("a", "b/a");  // the child is the parent now
  EXPECT_THAT(ChangesSince(before), ElementsAre("R a/b/ -> b/", "R a/ -> b/a/"));
}

TEST_F(ChangesRenameTest, ExchangedNamesAreRenames) {
  Live().Write("a", "1");
  Live().Write("b", "2");
  Live().MakeDirectory("d");
  Live().Write("d/in-d", "1");
  Live().MakeDirectory("e");
  const UniqueFd before = Snapshot();
  Live().Rename("a", "b", RENAME_EXCHANGE);
  Live().Rename("d", "e", RENAME_EXCHANGE);
  EXPECT_THAT(ChangesSince(before),
              ElementsAre("R b -> a", "R a -> b", "R e/ -> d/", "R d/ -> e/"));
}

TEST_F(ChangesRenameTest, NamesInARing) {
  for (const char* name : {"a", "b", "c"}) Live().Write(name, name);
  const UniqueFd before = Snapshot();
  Live().Rename("a", "t");
  Live().Rename("c", "a");
  Live().Rename("b", "c");
  Live().Rename("t", "b");
  EXPECT_THAT(ChangesSince(before), ElementsAre("R c -> a", "R a -> b", "R b -> c"));
}

TEST_F(ChangesRenameTest, ThereAndBackIsNoChange) {
  Live().MakeDirectory("d");
  Live().Write("d/a", "1");
  const UniqueFd before = Snapshot();
  Live().Rename("d", "e");
  Live().Rename("e/a", "a");
  Live().Rename("e", "d");
  Live().Rename("a", "d/a");
  Live().Write("b", "1");
  Live().Unlink("b");
  EXPECT_THAT(ChangesSince(before), IsEmpty());
}

TEST_F(ChangesRenameTest, SavedByWritingATemporaryFile) {
  Live().Write("notes", "1");
  const UniqueFd before = Snapshot();
  Live().Write("notes.tmp", "2");
  Live().Rename("notes.tmp", "notes");
  EXPECT_THAT(ChangesSince(before), ElementsAre("M notes"));
}

TEST_F(ChangesRenameTest, ReplacedByAnExactCopyIsNoChange) {
  Live().Write("a", "1");
  Live().Write("b", "1");
  Live().SetXattr("a", "user.x", "1");
  const UniqueFd before = Snapshot();
  for (const std::string name : {"a", "b"}) {
    const int64_t mtime = Live().Mtime(name);
    Live().Unlink(name);
    Live().Write(name, "1");
    Live().SetMtime(name, mtime);
  }
  EXPECT_THAT(ChangesSince(before), ElementsAre("M a"));  // it has no attribute any more
}

TEST_F(ChangesRenameTest, ABackupCopyByRename) {
  Live().Write("f", "1");
  const UniqueFd before = Snapshot();
  Live().Rename("f", "f~");
  Live().Write("f", "2");
  EXPECT_THAT(ChangesSince(before), ElementsAre("+ f", "R f -> f~"));
}

TEST_F(ChangesRenameTest, RenamedOverAFileThatWasThereBefore) {
  Live().Write("f", "1");
  Live().Write("g", "2");
  const UniqueFd before = Snapshot();
  Live().Rename("g", "f");
  EXPECT_THAT(ChangesSince(before), ElementsAre("- f", "R g -> f"));
}

TEST_F(ChangesRenameTest, AnotherTypeUnderTheSameName) {
  Live().Write("a", "1");
  Live().MakeDirectory("b");
  Live().Write("b/c", "1");
  const UniqueFd before = Snapshot();
  Live().Unlink("a");
  Live().MakeDirectory("a");
  Live().Write("a/c", "1");
  Live().Unlink("b/c");
  Live().RemoveDirectory("b");
  Live().Symlink("a", "b");
  EXPECT_THAT(ChangesSince(before), ElementsAre("- a", "+ a/", "+ a/c", "- b/", "+ b", "- b/c"));
}

TEST_F(ChangesRenameTest, ADirectoryMadeAnewIsComparedWithTheOld) {
  Live().MakeDirectory("d");
  for (const char* name : {"d/kept", "d/changed", "d/removed"}) Live().Write(name, "1");
  const int64_t mtime = Live().Mtime("d/kept");
  const UniqueFd before = Snapshot();
  for (const char* name : {"d/kept", "d/changed", "d/removed"}) Live().Unlink(name);
  Live().RemoveDirectory("d");
  Live().MakeDirectory("d");
  Live().Write("d/kept", "1");
  Live().SetMtime("d/kept", mtime);
  Live().Write("d/changed", "2");
  Live().Write("d/added", "2");
  EXPECT_THAT(ChangesSince(before), ElementsAre("+ d/added", "M d/changed", "- d/removed"));
}

TEST_F(ChangesRenameTest, MovedThroughAnotherDirectoryAndBack) {
  Live().MakeDirectory("d");
  Live().MakeDirectory("d/e");
  for (const char* name : {"d/a", "d/b", "d/c", "d/e/f"}) Live().Write(name, "1");
  const UniqueFd before = Snapshot();
  Live().MakeDirectory("t");
  for (const char* name : {"a", "b", "c", "e"}) {
    Live().Rename(fmt::format("d/{}", name), fmt::format("t/{}", name));
  }
  Live().RemoveDirectory("d");
  Live().Rename("t", "d");
  Live().Write("d/b", "2");
  Live().Rename("d/c", "d/moved");
  EXPECT_THAT(ChangesSince(before), ElementsAre("M d/b", "R d/c -> d/moved"));
}

}  // namespace
}  // namespace ckptfs
