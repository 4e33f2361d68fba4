// What changed of files themselves: links, attributes, contents, kinds.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <string>
#include <vector>

#include "tests/unit/backend/btrfs/changes_fixture.h"

namespace ckptfs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ChangesInodeTest : public ChangesFixture {};

TEST_F(ChangesInodeTest, HardLinks) {
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

TEST_F(ChangesInodeTest, AllNamesOfAModifiedFileAreListed) {
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

TEST_F(ChangesInodeTest, ManyHardLinks) {
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

TEST_F(ChangesInodeTest, AttributesCount) {
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

TEST_F(ChangesInodeTest, AccessAndDirectoryTimesDoNotCount) {
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

TEST_F(ChangesInodeTest, DirectoriesHaveAttributesToo) {
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

TEST_F(ChangesInodeTest, SizesHolesAndExtents) {
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

TEST_F(ChangesInodeTest, ContentsDecideWhereTimesAreSetBack) {
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

TEST_F(ChangesInodeTest, AHugeSparseFileIsComparedByItsDataOnly) {
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

TEST_F(ChangesInodeTest, LinksAndNodes) {
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

}  // namespace
}  // namespace ckptfs
