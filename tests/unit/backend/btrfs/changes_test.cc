#include "backend/btrfs/changes.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <thread>

#include "tests/unit/backend/btrfs/changes_fixture.h"

namespace ckptfs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ChangesTest : public ChangesFixture {};

TEST_F(ChangesTest, AVolumeDoesNotDifferFromItself) {
  Live().Write("a", "1");
  const UniqueFd snapshot = Snapshot();
  EXPECT_THAT(CompareSubvolumes(snapshot.get(), snapshot.get(), bounds_), IsEmpty());
}

TEST_F(ChangesTest, NothingChanged) {
  Live().Write("a", "1");
  const UniqueFd before = Snapshot();
  EXPECT_THAT(ChangesSince(before), IsEmpty());
}

TEST_F(ChangesTest, WritableVolumesAreRefused) {
  const UniqueFd before = Snapshot();
  EXPECT_THROW(CompareSubvolumes(before.get(), live_fd(), bounds_), Error);
  EXPECT_THROW(CompareSubvolumes(live_fd(), before.get(), bounds_), Error);
}

TEST_F(ChangesTest, AddedRemovedModified) {
  Live().Write("changed", "1");
  Live().Write("removed", "1");
  Live().Write("same", "1");
  const UniqueFd before = Snapshot();
  Live().Write("added", "1");
  Live().Write("changed", "2");
  Live().Unlink("removed");
  EXPECT_THAT(ChangesSince(before), ElementsAre("+ added", "M changed", "- removed"));
}

TEST_F(ChangesTest, EverythingInANewTreeIsListed) {
  const UniqueFd before = Snapshot();
  Live().MakeDirectory("d");
  Live().MakeDirectory("d/e");
  Live().Write("d/e/f", "1");
  Live().Write("d.txt", "1");
  EXPECT_THAT(ChangesSince(before), ElementsAre("+ d/", "+ d.txt", "+ d/e/", "+ d/e/f"));
}

TEST_F(ChangesTest, EverythingInARemovedTreeIsListed) {
  Live().MakeDirectory("d");
  Live().MakeDirectory("d/e");
  Live().Write("d/e/f", "1");
  const UniqueFd before = Snapshot();
  Live().Unlink("d/e/f");
  Live().RemoveDirectory("d/e");
  Live().RemoveDirectory("d");
  EXPECT_THAT(ChangesSince(before), ElementsAre("- d/", "- d/e/", "- d/e/f"));
}

// The oracle knows nothing of it, so these look at the answer alone.
std::vector<std::string> ChangesBetween(const UniqueFd& older, const UniqueFd& newer) {
  PathBounds bounds;
  std::vector<std::string> lines = Lines(CompareSubvolumes(older.get(), newer.get(), bounds));
  EXPECT_EQ(Lines(CompareSubvolumesByWalk(older.get(), newer.get())), lines) << "by walk";
  EXPECT_EQ(Lines(CompareSubvolumesBySend(older.get(), newer.get())), lines) << "by stream";
  return lines;
}

TEST_F(ChangesTest, ThePrivateDirectoryIsLeftOut) {
  const std::string hidden(kPrivateDirectoryName);
  Live().MakeDirectory("d");
  Live().Write("d/removed", "1");
  Live().Write("replaced", "1");
  const UniqueFd before = Snapshot();
  Live().MakeDirectory(hidden);
  const UniqueFd empty = Snapshot();
  EXPECT_THAT(ChangesBetween(before, empty), IsEmpty());
  Live().Rename("d/removed", hidden + "/1");
  Live().Rename("replaced", hidden + "/2");
  Live().Write("replaced", "2");
  Live().Write(hidden + "/3", "1");
  const UniqueFd used = Snapshot();
  EXPECT_THAT(ChangesBetween(before, used), ElementsAre("- d/removed", "M replaced"));
  EXPECT_THAT(ChangesBetween(used, before), ElementsAre("+ d/removed", "M replaced"));
  Live().Rename(hidden + "/3", "d/named");
  Live().Write("d/named", "changed");
  Live().Unlink(hidden + "/1");
  Live().Write(hidden + "/2", "changed");
  EXPECT_THAT(ChangesBetween(used, Snapshot()), ElementsAre("+ d/named"));
  // Elsewhere, and as a part of a name, it means nothing.
  const UniqueFd last = Snapshot();
  Live().Write("d/" + hidden, "1");
  Live().Write(hidden + "-not", "1");
  EXPECT_THAT(ChangesBetween(last, Snapshot()),
              ElementsAre("+ " + hidden + "-not", "+ d/" + hidden));
}

TEST_F(ChangesTest, OddNames) {
  const std::vector<std::string> names = {
      "\1\2", " ", "a\nb", "back\\slash", std::string(255, 'n'), "\xff\xfe", "-> x"};
  const UniqueFd empty = Snapshot();
  for (const std::string& name : names) Live().Write(name, "1");
  std::vector<std::string> expected(names.size());
  std::transform(names.begin(), names.end(), expected.begin(),
                 [](const std::string& name) { return "+ " + name; });
  EXPECT_THAT(ChangesSince(empty), ::testing::UnorderedElementsAreArray(expected));
  const UniqueFd full = Snapshot();
  Live().Rename("a\nb", "\xff");
  EXPECT_THAT(ChangesSince(full), ElementsAre("R a\nb -> \xff"));
}

TEST_F(ChangesTest, FilesNamedAsTheKernelNamesItsOrphans) {
  Live().Write("a", "1");
  Live().Write("b", "2");
  struct stat status = {};
  fstatat(live_fd(), "a", &status, 0);
  Live().MakeDirectory("d");
  const UniqueFd before = Snapshot();
  // Whatever the generation: one of these is what the kernel would take for the file "a".
  std::vector<std::string> expected;
  for (int generation = 1; generation < 300; ++generation) {
    const std::string name = fmt::format("o-{}-{}-0", status.st_ino, generation);
    Live().Write(name, "mine");
    expected.push_back("+ " + name);
  }
  Live().Rename("a", "b", RENAME_EXCHANGE);
  expected.insert(expected.end(), {"R b -> a", "R a -> b"});
  EXPECT_THAT(ChangesSince(before), ::testing::UnorderedElementsAreArray(expected));
}

// Descends `levels` directories of long names and leaves a file at the bottom.
std::string MakeDeepFile(int root_fd, int levels) {
  const std::string name(200, 'd');
  std::string path;
  UniqueFd directory(dup(root_fd));
  for (int i = 0; i < levels; ++i) {
    mkdirat(directory.get(), name.c_str(), 0755);
    directory = UniqueFd(openat(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY));
    path += name + "/";
  }
  Tree(directory.get()).Write("file", "1");
  return path + "file";
}

TEST_F(ChangesTest, PathsNearTheKernelsLimit) {
  const UniqueFd before = Snapshot();
  const std::string path = MakeDeepFile(live_fd(), 20);  // 4,024 bytes
  const UniqueFd after = Snapshot();
  EXPECT_EQ(CompareRelated(before, after).back(), "+ " + path);
  Live().Chmod(path, 0600);
  EXPECT_THAT(ChangesSince(after), ElementsAre("M " + path));
}

TEST_F(ChangesTest, PathsBeyondTheKernelsLimit) {
  const UniqueFd before = Snapshot();
  const std::string path = MakeDeepFile(live_fd(), 45);  // 9,049 bytes
  const UniqueFd after = Snapshot();
  EXPECT_EQ(Compare(before, after).back(), "+ " + path);
  EXPECT_EQ(Compare(after, before).back(), "- " + path);
}

TEST_F(ChangesTest, PathsThatMayBeBeyondTheKernelsLimitAreKnownBefore) {
  Live().MakeDirectory("a");
  Live().MakeDirectory(std::string(250, 'x'));
  const UniqueFd shallow = Snapshot();
  EXPECT_FALSE(bounds_.MayExceedPathMax(shallow.get(), shallow.get(), NoLimits()));
  MakeDeepFile(Live().Open("a", O_RDONLY | O_DIRECTORY).get(), 7);  // 1,413 bytes
  const UniqueFd some = Snapshot();
  EXPECT_FALSE(bounds_.MayExceedPathMax(shallow.get(), some.get(), NoLimits()));
  EXPECT_FALSE(bounds_.MayExceedPathMax(some.get(), shallow.get(), NoLimits()));
  // Deeper by the names above alone.
  UniqueFd last = Snapshot();
  for (int i = 0; i < 10; ++i) {
    const std::string above = std::string(250, 'x') + std::to_string(i);
    Live().MakeDirectory(above);
    Live().Rename("a", above + "/a");
    Live().Rename(above, "a");
    last = Snapshot();
  }
  EXPECT_FALSE(bounds_.MayExceedPathMax(some.get(), last.get(), NoLimits()));
  std::string above;
  for (int i = 0; i < 12; ++i) {
    above += std::string(250, 'y');
    Live().MakeDirectory(above);
    above += "/";
  }
  Live().Rename("a", above + "a");
  const UniqueFd deep = Snapshot();
  EXPECT_TRUE(bounds_.MayExceedPathMax(last.get(), deep.get(), NoLimits()));
  EXPECT_TRUE(bounds_.MayExceedPathMax(deep.get(), last.get(), NoLimits()));
  EXPECT_TRUE(PathBounds().MayExceedPathMax(last.get(), deep.get(), NoLimits()));
  EXPECT_TRUE(PathBounds().MayExceedPathMax(deep.get(), last.get(), NoLimits()));
}

// What one line of states does not share with the other may have been written before both.
TEST_F(ChangesTest, LinesOfStatesWithADeepPathBeforeTheyParted) {
  const std::string path = MakeDeepFile(live_fd(), 25);
  const UniqueFd both = Snapshot();
  const UniqueFd one = filesystem().Snapshot(both.get(), NewName(), /*read_only=*/false);
  const UniqueFd other = filesystem().Snapshot(both.get(), NewName(), /*read_only=*/false);
  const std::string top = path.substr(0, path.find('/'));
  std::filesystem::remove_all(fmt::format("/proc/self/fd/{}/{}", one.get(), top));
  Tree(one.get()).Write("a", "1");
  Tree(other.get()).Write("b", "1");
  for (const bool sealed : {false, true}) {
    const UniqueFd first = sealed ? UniqueFd(dup(one.get())) : Snapshot(one);
    const UniqueFd second = sealed ? UniqueFd(dup(other.get())) : Snapshot(other);
    EXPECT_TRUE(PathBounds().MayExceedPathMax(first.get(), second.get(), NoLimits()));
    EXPECT_TRUE(PathBounds().MayExceedPathMax(second.get(), first.get(), NoLimits()));
    EXPECT_TRUE(PathBounds().MayExceedPathMax(first.get(), both.get(), NoLimits()));
    EXPECT_TRUE(PathBounds().MayExceedPathMax(both.get(), first.get(), NoLimits()));
  }
}

TEST_F(ChangesTest, AQuickLookKnowsItsLimits) {
  for (int i = 0; i < 5; ++i) Live().Write(fmt::format("f{}", i), "1");
  const UniqueFd before = Snapshot();
  for (int i = 0; i < 5; ++i) Live().SetAtime(fmt::format("f{}", i), 1);
  const UniqueFd read = Snapshot();
  EXPECT_TRUE(SubvolumesMayBeEqual(before.get(), read.get(), SIZE_MAX, NoLimits()));
  EXPECT_FALSE(SubvolumesMayBeEqual(before.get(), read.get(), 2, NoLimits()));
  EXPECT_FALSE(MayBeEqualByWalking(SubvolumeFiles(before.get(), NoLimits()),
                                   SubvolumeFiles(read.get(), NoLimits()), 2));
  // What was there before does not count, though all of it may have been written in one transaction.
  EXPECT_TRUE(SubvolumesMayBeEqual(read.get(), Snapshot().get(), 1, NoLimits()));
  Live().SetAtime("f1", 2);
  EXPECT_TRUE(SubvolumesMayBeEqual(read.get(), Snapshot().get(), 1, NoLimits()));
  Live().Unlink("f3");
  filesystem().Sync();
  EXPECT_FALSE(SubvolumesMayBeEqual(before.get(), live_fd(), SIZE_MAX, NoLimits()));
  EXPECT_FALSE(MayBeEqualByWalking(SubvolumeFiles(before.get(), NoLimits()),
                                   SubvolumeFiles(live_fd(), NoLimits()), SIZE_MAX));
}

TEST_F(ChangesTest, NestedSubvolumesAreLeftOut) {
  Live().Write("a", "1");
  const UniqueFd before = Snapshot();
  const std::string name = NewName();
  const UniqueFd nested = filesystem().MakeSubvolume(name);
  Tree(nested.get()).Write("inside", "1");
  CheckSyscall(renameat(filesystem().root_fd(), name.c_str(), live_fd(), "nested"), "move");
  Live().Write("b", "1");
  const UniqueFd after = Snapshot();
  EXPECT_THAT(Lines(CompareSubvolumesBySend(before.get(), after.get())), ElementsAre("+ b"));
  EXPECT_THAT(Lines(CompareSubvolumesByWalk(before.get(), after.get())), ElementsAre("+ b"));
  EXPECT_THAT(Lines(CompareSubvolumesByWalk(after.get(), before.get())), ElementsAre("- b"));
}

TEST_F(ChangesTest, UnlinkedButOpenFilesAreNotThere) {
  Live().Write("old", "1");
  const UniqueFd old_file = Live().Open("old", O_RDWR);
  const UniqueFd before = Snapshot();
  Live().Write("new", "1");
  const UniqueFd new_file = Live().Open("new", O_RDWR);
  Live().Unlink("new");
  Live().Unlink("old");
  EXPECT_THAT(ChangesSince(before), ElementsAre("- old"));
}

// Files that are made in one tick of the kernel's clock have the same time of birth.
void LetTheClockTick() { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }

TEST_F(ChangesTest, ThroughClonesOfSnapshots) {
  Live().Write("a", "1");
  Live().Write("b", "1");
  const UniqueFd first = Snapshot();
  const UniqueFd clone = filesystem().Snapshot(first.get(), NewName(), false);
  Tree(clone.get()).Write("a", "2");
  Tree(clone.get()).Rename("b", "c");
  EXPECT_THAT(CompareRelated(first, Snapshot(clone)), ElementsAre("M a", "R b -> c"));
}

TEST_F(ChangesTest, HistoriesThatHaveParted) {
  Live().Write("common", "1");
  const UniqueFd origin = Snapshot();
  const UniqueFd left = filesystem().Snapshot(origin.get(), NewName(), false);
  const UniqueFd right = filesystem().Snapshot(origin.get(), NewName(), false);
  // In one transaction, so that these have the same inode numbers and generations.
  filesystem().Sync();
  Tree(left.get()).Write("left", "1");
  Tree(left.get()).MakeDirectory("dir");
  Tree(left.get()).Write("dir/file", "1");
  Tree(left.get()).Symlink("one", "link");
  LetTheClockTick();
  Tree(right.get()).Write("right", "1");
  Tree(right.get()).Write("dir", "now a file");
  Tree(right.get()).MakeDirectory("other");
  Tree(right.get()).Symlink("two", "link");
  EXPECT_THAT(
      Compare(Snapshot(left), Snapshot(right)),
      ElementsAre("- dir/", "+ dir", "- dir/file", "- left", "M link", "+ other/", "+ right"));
}

TEST_F(ChangesTest, VolumesWithoutACommonPast) {
  const UniqueFd left = filesystem().MakeSubvolume(NewName());
  const UniqueFd right = filesystem().MakeSubvolume(NewName());
  filesystem().Sync();
  for (const UniqueFd* volume : {&left, &right}) {
    LetTheClockTick();
    const Tree tree(volume->get());
    const bool is_left = volume == &left;
    tree.MakeDirectory(is_left ? "a" : "b");
    tree.Write(is_left ? "a/x" : "b/x", "1");
    tree.Write("same", "1");
    tree.SetMtime("same", 5);
    tree.Write("other", is_left ? "1" : "2");
    tree.SetMtime("other", 5);
  }
  EXPECT_THAT(Compare(Snapshot(left), Snapshot(right)),
              ElementsAre("- a/", "- a/x", "+ b/", "+ b/x", "M other"));
}

TEST_F(ChangesTest, TimeGoesWithTheChangesNotWithTheFiles) {
  for (int i = 0; i < 20'000; ++i) {
    if (i % 1000 == 0) Live().MakeDirectory(fmt::format("d{}", i / 1000));
    Live().MakeNode(fmt::format("d{}/{}", i / 1000, i), S_IFREG | 0644);
  }
  const UniqueFd before = Snapshot();
  Live().Rename("d7", "moved");
  Live().Write("d3/3000", "1");
  const UniqueFd after = Snapshot();
  const auto start = std::chrono::steady_clock::now();
  const auto changes = CompareSubvolumes(before.get(), after.get(), bounds_);
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
  EXPECT_THAT(Lines(changes), ElementsAre("M d3/3000", "R d7/ -> moved/"));
  RecordProperty("milliseconds", fmt::format("{:.1f}", time.count()));
  // A walk takes several times as long even on an idle machine.
  const auto walk_start = std::chrono::steady_clock::now();
  CompareSubvolumesByWalk(before.get(), after.get());
  const std::chrono::duration<double, std::milli> walk =
      std::chrono::steady_clock::now() - walk_start;
  EXPECT_LT(time.count(), walk.count());
}

}  // namespace
}  // namespace ckptfs
