#include "backend/btrfs/changes.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/unit/backend/btrfs/changes_fixture.h"

namespace ckptfs::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ChangesTest : public ChangesFixture {};

TEST_F(ChangesTest, AVolumeDoesNotDifferFromItself) {
  Live().Write("a", "1");
  const UniqueFd snapshot = Snapshot();
  EXPECT_THAT(CompareSubvolumes(snapshot.get(), snapshot.get()), IsEmpty());
}

TEST_F(ChangesTest, NothingChanged) {
  Live().Write("a", "1");
  const UniqueFd before = Snapshot();
  EXPECT_THAT(ChangesSince(before), IsEmpty());
}

TEST_F(ChangesTest, WritableVolumesAreRefused) {
  const UniqueFd before = Snapshot();
  EXPECT_THROW(CompareSubvolumes(before.get(), live_fd()), Error);
  EXPECT_THROW(CompareSubvolumes(live_fd(), before.get()), Error);
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
  std::vector<std::string> lines = Lines(CompareSubvolumes(older.get(), newer.get()));
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

TEST_F(ChangesTest, ARenamedFile) {
  Live().Write("a", "1");
  Live().Write("b", "1");
  Live().MakeDirectory("d");
  const UniqueFd before = Snapshot();
  Live().Rename("a", "d/moved");
  Live().Rename("b", "c");
  Live().Write("c", "2");
  EXPECT_THAT(ChangesSince(before), ElementsAre("R b -> c", "M c", "R a -> d/moved"));
}

TEST_F(ChangesTest, ARenamedDirectoryBringsItsChildren) {
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

TEST_F(ChangesTest, ARenamedDirectoryInARenamedDirectory) {
  Live().MakeDirectory("a");
  Live().MakeDirectory("a/b");
  Live().Write("a/b/c", "1");
  const UniqueFd before = Snapshot();
  Live().Rename("a/b", "b");
  Live().Rename("a", "b/a");  // the child is the parent now
  EXPECT_THAT(ChangesSince(before), ElementsAre("R a/b/ -> b/", "R a/ -> b/a/"));
}

TEST_F(ChangesTest, ExchangedNamesAreRenames) {
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

TEST_F(ChangesTest, NamesInARing) {
  for (const char* name : {"a", "b", "c"}) Live().Write(name, name);
  const UniqueFd before = Snapshot();
  Live().Rename("a", "t");
  Live().Rename("c", "a");
  Live().Rename("b", "c");
  Live().Rename("t", "b");
  EXPECT_THAT(ChangesSince(before), ElementsAre("R c -> a", "R a -> b", "R b -> c"));
}

TEST_F(ChangesTest, ThereAndBackIsNoChange) {
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

TEST_F(ChangesTest, SavedByWritingATemporaryFile) {
  Live().Write("notes", "1");
  const UniqueFd before = Snapshot();
  Live().Write("notes.tmp", "2");
  Live().Rename("notes.tmp", "notes");
  EXPECT_THAT(ChangesSince(before), ElementsAre("M notes"));
}

TEST_F(ChangesTest, ReplacedByAnExactCopyIsNoChange) {
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

TEST_F(ChangesTest, ABackupCopyByRename) {
  Live().Write("f", "1");
  const UniqueFd before = Snapshot();
  Live().Rename("f", "f~");
  Live().Write("f", "2");
  EXPECT_THAT(ChangesSince(before), ElementsAre("+ f", "R f -> f~"));
}

TEST_F(ChangesTest, RenamedOverAFileThatWasThereBefore) {
  Live().Write("f", "1");
  Live().Write("g", "2");
  const UniqueFd before = Snapshot();
  Live().Rename("g", "f");
  EXPECT_THAT(ChangesSince(before), ElementsAre("- f", "R g -> f"));
}

TEST_F(ChangesTest, AnotherTypeUnderTheSameName) {
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

TEST_F(ChangesTest, ADirectoryMadeAnewIsComparedWithTheOld) {
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

TEST_F(ChangesTest, MovedThroughAnotherDirectoryAndBack) {
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

TEST_F(ChangesTest, HardLinks) {
  Live().Write("a", "1");
  Live().Write("b", "1");
  Live().Link("b", "b2");
  Live().Write("c", "1");
  Live().Link("c", "c2");
  Live().Write("d", "1");
  const UniqueFd before = Snapshot();
  Live().Link("a", "a2");     // one more
  Live().Unlink("b2");        // one less
  Live().Rename("c2", "c3");  // one renamed
  Live().Link("d", "d2");     // two for one
  Live().Link("d", "d3");
  Live().Unlink("d");
  EXPECT_THAT(ChangesSince(before),
              ElementsAre("+ a2", "- b2", "R c2 -> c3", "- d", "+ d2", "+ d3"));
}

TEST_F(ChangesTest, AllNamesOfAModifiedFileAreListed) {
  Live().MakeDirectory("d");
  Live().Write("a", "1");
  Live().Link("a", "b");
  Live().Link("a", "d/c");
  Live().Link("a", "old");
  const UniqueFd before = Snapshot();
  Live().Rename("d", "e");
  Live().Rename("old", "new");
  Live().Write("a", "2");
  EXPECT_THAT(ChangesSince(before),
              ElementsAre("M a", "M b", "R d/ -> e/", "M e/c", "R old -> new", "M new"));
}

TEST_F(ChangesTest, ManyHardLinks) {
  // More than an INODE_REF item holds, so some stand in INODE_EXTREF items.
  Live().Write("a", "1");
  std::vector<std::string> expected{"M a"};
  for (int i = 1000; i < 1400; ++i) {
    const std::string name = fmt::format("link-{}-{}", i, std::string(200, 'x'));
    Live().Link("a", name);
    expected.push_back("M " + name);
  }
  const UniqueFd before = Snapshot();
  Live().Chmod("a", 0600);
  EXPECT_EQ(ChangesSince(before), expected);
}

TEST_F(ChangesTest, AttributesCount) {
  for (const char* name :
       {"acl", "flags", "group", "mode", "mtime", "owner", "xattr-set", "xattr-removed"}) {
    Live().Write(name, "1");
  }
  Live().SetXattr("xattr-removed", "user.x", "1");
  const UniqueFd before = Snapshot();
  // user::rw- user:1000:r-- group::r-- mask::r-- other::r--
  const char acl[] =
      "\2\0\0\0"
      "\1\0\6\0\xff\xff\xff\xff"
      "\2\0\4\0\xe8\3\0\0"
      "\4\0\4\0\xff\xff\xff\xff"
      "\x10\0\4\0\xff\xff\xff\xff"
      "\x20\0\4\0\xff\xff\xff\xff";
  Live().SetXattr("acl", "system.posix_acl_access", {acl, sizeof acl - 1});
  Live().SetFlags("flags", FS_NODUMP_FL);
  Live().Chown("group", 0, 7);
  Live().Chmod("mode", 0640);
  Live().SetMtime("mtime", 1);
  Live().Chown("owner", 7, 0);
  Live().SetXattr("xattr-set", "user.x", "1");
  Live().RemoveXattr("xattr-removed", "user.x");
  EXPECT_THAT(ChangesSince(before), ElementsAre("M acl", "M flags", "M group", "M mode", "M mtime",
                                                "M owner", "M xattr-removed", "M xattr-set"));
}

TEST_F(ChangesTest, AccessAndDirectoryTimesDoNotCount) {
  Live().Write("a", "1");
  Live().MakeDirectory("d");
  Live().Symlink("a", "l");
  const UniqueFd before = Snapshot();
  Live().SetAtime("a", 1);
  Live().SetMtime("d", 1);
  Live().SetMtime("l", 1);
  Live().Chmod("a", 0600);  // sets only ctime in the end
  Live().Chmod("a", 0644);
  EXPECT_THAT(ChangesSince(before), IsEmpty());
}

TEST_F(ChangesTest, DirectoriesHaveAttributesToo) {
  Live().MakeDirectory("d");
  Live().MakeDirectory("e");
  Live().Write("e/f", "1");
  Live().MakeDirectory("x");
  const UniqueFd before = Snapshot();
  Live().Chmod("", 0700);
  Live().Chmod("d", 0700);
  Live().Write("e/f", "2");
  Live().SetXattr("x", "user.x", "1");
  EXPECT_THAT(ChangesSince(before), ElementsAre("M /", "M d/", "M e/f", "M x/"));
}

TEST_F(ChangesTest, SizesHolesAndExtents) {
  const std::string megabyte(1 << 20, 'x');
  for (const char* name : {"allocated", "cut", "grown", "moved-data", "punched", "zeroed"}) {
    Live().Write(name, megabyte);
  }
  const UniqueFd before = Snapshot();
  Live().Allocate("allocated", FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20);
  Live().Truncate("cut", 100);
  Live().Truncate("grown", 2 << 20);
  Live().Write("moved-data", "");
  Live().Reflink("cut", "moved-data");
  Live().Allocate("punched", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 65536);
  Live().Allocate("zeroed", FALLOC_FL_ZERO_RANGE, 0, 4096);
  EXPECT_THAT(ChangesSince(before), ElementsAre("M allocated", "M cut", "M grown", "M moved-data",
                                                "M punched", "M zeroed"));
}

TEST_F(ChangesTest, ContentsDecideWhereTimesAreSetBack) {
  const std::string megabyte(1 << 20, 'x');
  for (const char* name : {"holes", "rewritten", "tampered"}) {
    Live().Write(name, std::string(1 << 20, '\0'));
    Live().WriteAt(name, 0, megabyte.substr(0, 500'000));
  }
  std::vector<int64_t> mtimes;
  const UniqueFd before = Snapshot();
  for (const char* name : {"holes", "rewritten", "tampered"}) mtimes.push_back(Live().Mtime(name));
  Live().Allocate("holes", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 524'288, 524'288);
  Live().WriteAt("rewritten", 0, megabyte.substr(0, 500'000));
  Live().WriteAt("tampered", 400'000, "y");
  Live().SetMtime("holes", mtimes[0]);
  Live().SetMtime("rewritten", mtimes[1]);
  Live().SetMtime("tampered", mtimes[2]);
  EXPECT_THAT(ChangesSince(before), ElementsAre("M tampered"));
}

TEST_F(ChangesTest, AHugeSparseFileIsComparedByItsDataOnly) {
  Live().Write("sparse", "1");
  Live().Truncate("sparse", off_t{1} << 42);
  const int64_t mtime = Live().Mtime("sparse");
  const UniqueFd before = Snapshot();
  Live().WriteAt("sparse", 0, "1");
  Live().SetMtime("sparse", mtime);
  const UniqueFd after = Snapshot();  // the oracle would read four terabytes
  EXPECT_THAT(CompareSubvolumesBySend(before.get(), after.get()), IsEmpty());
  EXPECT_THAT(CompareSubvolumesByWalk(before.get(), after.get()), IsEmpty());
}

TEST_F(ChangesTest, LinksAndNodes) {
  Live().Symlink("target", "link");
  Live().Symlink("target", "same-link");
  Live().MakeNode("device", S_IFCHR | 0600, makedev(1, 3));
  Live().MakeNode("fifo", S_IFIFO | 0600);
  Live().MakeNode("socket", S_IFSOCK | 0600);
  const UniqueFd before = Snapshot();
  Live().Unlink("link");
  Live().Symlink("garget", "link");
  Live().Unlink("same-link");
  Live().Symlink("target", "same-link");
  Live().Unlink("device");
  Live().MakeNode("device", S_IFCHR | 0600, makedev(1, 5));
  Live().Chmod("fifo", 0644);
  Live().Rename("socket", "socket2");
  Live().MakeNode("new-block", S_IFBLK | 0600, makedev(7, 0));
  EXPECT_THAT(ChangesSince(before),
              ElementsAre("M device", "M fifo", "M link", "+ new-block", "R socket -> socket2"));
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
  const auto changes = CompareSubvolumes(before.get(), after.get());
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
}  // namespace ckptfs::testing
