#include "catalog/trees/import.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/error.h"
#include "catalog/trees/copy_file.h"
#include "catalog/trees/inode_flags.h"
#include "catalog/trees/tree_removal.h"
#include "catalog/trees/tree_walk.h"
#include "tests/unit/backend/btrfs/scratch_btrfs.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

using ::testing::HasSubstr;

// Everything about a tree that an import must keep, as one line for each path.
class Description : public TreeVisitor {
 public:
  static std::map<std::string, std::string> Of(int root_fd) {
    Description description;
    WalkTree(root_fd, description);
    return std::move(description.lines_);
  }

  void Enter(const TreeEntry& entry, int directory_fd) override {
    Add(entry, DescribeCommon(entry.info, directory_fd));
  }
  void Visit(const TreeEntry& entry) override {
    const UniqueFd fd = OpenEntry(entry.parent_fd, entry.name, O_PATH, entry.path);
    std::string line = DescribeCommon(entry.info, fd.get());
    line += fmt::format(" nlink={} rdev={}:{}", entry.info.stx_nlink, entry.info.stx_rdev_major,
                        entry.info.stx_rdev_minor);
    if (entry.info.stx_nlink > 1) {
      const auto [first, is_new] = first_names_.try_emplace(entry.info.stx_ino, entry.path);
      line += " first=" + first->second;
    }
    if (S_ISREG(entry.info.stx_mode)) line += DescribeContent(entry);
    if (S_ISLNK(entry.info.stx_mode)) {
      std::string target(8192, '\0');
      target.resize(readlinkat(fd.get(), "", target.data(), target.size()));
      line += " target=" + target;
    }
    Add(entry, line);
  }
  void Nested(const TreeEntry& entry) override { Add(entry, "nested"); }
  void Leave(const TreeEntry&, int) override {}

 private:
  static std::string DescribeCommon(const struct statx& info, int fd) {
    std::string line =
        fmt::format("mode={:o} owner={}:{} mtime={}.{:09}", info.stx_mode, info.stx_uid,
                    info.stx_gid, info.stx_mtime.tv_sec, info.stx_mtime.tv_nsec);
    // To read a symlink is to change its access time: nobody can keep that.
    if (!S_ISLNK(info.stx_mode)) {
      line += fmt::format(" atime={}.{:09}", info.stx_atime.tv_sec, info.stx_atime.tv_nsec);
    }
    const std::string path = fmt::format("/proc/self/fd/{}", fd);
    std::string names(65536, '\0');
    const ssize_t bytes = listxattr(path.c_str(), names.data(), names.size());
    names.resize(bytes > 0 ? bytes : 0);
    std::map<std::string, std::string> values;
    for (size_t at = 0; at < names.size(); at += std::string(names.c_str() + at).size() + 1) {
      std::string value(65536, '\0');
      value.resize(getxattr(path.c_str(), names.c_str() + at, value.data(), value.size()));
      values[names.c_str() + at] = value;
    }
    for (const auto& [name, value] : values) {
      line += " " + name + "=";
      for (const char c : value) line += fmt::format("{:02x}", static_cast<unsigned char>(c));
    }
    return line;
  }

  static std::string DescribeContent(const TreeEntry& entry) {
    const UniqueFd fd = OpenEntry(entry.parent_fd, entry.name, O_RDONLY, entry.path);
    std::string line = fmt::format(" size={} data=", entry.info.stx_size);
    off_t at = 0;
    while ((at = lseek(fd.get(), at, SEEK_DATA)) >= 0) {
      const off_t hole = lseek(fd.get(), at, SEEK_HOLE);
      std::string content(hole - at, '\0');
      EXPECT_EQ(pread(fd.get(), content.data(), content.size(), at), hole - at);
      line += fmt::format("[{}-{}:{:x}]", at, hole, std::hash<std::string>{}(content));
      at = hole;
    }
    return line;
  }

  void Add(const TreeEntry& entry, std::string line) { lines_[entry.path] = std::move(line); }

  std::map<std::string, std::string> lines_;
  std::map<uint64_t, std::string> first_names_;
};

class ImportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
    btrfs_.emplace();
    destination_ = btrfs_->MakeSubvolume("destination");
  }

  // A tree with one of everything, and no times that could be "now" by chance.
  static void Fill(int root_fd) {
    const Tree tree(root_fd);
    tree.MakeDirectory("src");
    tree.Write("src/main.c", "int main() {}\n");
    tree.Chmod("src/main.c", 0640);
    tree.Chown("src/main.c", 1234, 4321);
    tree.Write("suid", "#!");
    tree.Chown("suid", 1000, 1000);
    tree.Chmod("suid", 06755);
    tree.Write("empty", "");
    tree.Write("name with\nnewline \xFF\xFE", "odd");
    tree.Link("src/main.c", "src/again.c");
    tree.Link("src/main.c", "third.c");
    tree.Symlink("../does/not/exist", "src/dangling");
    tree.Symlink("main.c", "src/link");
    tree.MakeNode("fifo", S_IFIFO | 0620);
    tree.MakeNode("socket", S_IFSOCK | 0711);
    tree.MakeNode("null", S_IFCHR | 0666, makedev(1, 3));
    tree.MakeNode("loop", S_IFBLK | 0600, makedev(7, 0));
    // Data between holes, a hole at the end.
    tree.Write("sparse", "");
    tree.Truncate("sparse", 64 << 20);
    tree.WriteAt("sparse", 1 << 20, std::string(70000, 'x'));
    tree.WriteAt("sparse", 40 << 20, std::string(4096, 'y'));
    tree.MakeDirectory("shared");
    tree.Chmod("shared", 03775);
    tree.SetXattr("src/main.c", "user.comment", std::string("a\0b", 3));
    tree.SetXattr("src/main.c", "trusted.mark", "t");
    tree.SetXattr("shared", "user.of-directory", "d");
    // A file capability: cap_net_raw+ep.
    tree.SetXattr("suid", "security.capability",
                  std::string("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20));
    tree.SetXattr("shared", "system.posix_acl_default", kAcl);
    tree.SetXattr("src/main.c", "system.posix_acl_access", kAcl);
    tree.Chmod("src", 0550);
    // Last, and for the deepest first: each is a change to the directory above.
    for (const char* path : {"src/main.c", "src/dangling", "src/link", "src", "fifo", "socket",
                             "null", "sparse", "shared", "."}) {
      tree.SetAtime(path, 1'111'111'111'000'000'001);
      tree.SetMtime(path, 1'222'222'222'987'654'321);
    }
  }

  // user::rwx, user 77:r--, group::r-x, mask::rwx, other::---
  inline static const std::string kAcl = std::string(
      "\x02\0\0\0"
      "\x01\0\x07\0\xff\xff\xff\xff"
      "\x02\0\x04\0\x4d\0\0\0"
      "\x04\0\x05\0\xff\xff\xff\xff"
      "\x10\0\x07\0\xff\xff\xff\xff"
      "\x20\0\0\0\xff\xff\xff\xff",
      44);

  ImportStats Import(int source_fd, const ImportOptions& options = {}) {
    return ImportTree(source_fd, destination_.get(), options);
  }

  // The error that the import gives; fails the test if it gives none.
  Error ImportError(int source_fd, const ImportOptions& options = {}) {
    try {
      Import(source_fd, options);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "the import went through";
    return Error(0, "");
  }

  std::optional<ScratchBtrfs> btrfs_;
  UniqueFd destination_;
};

TEST_F(ImportTest, KeepsEverythingFromAnotherFilesystem) {
  const TestDirectory source;
  Fill(source.fd());
  const auto before = Description::Of(source.fd());
  const ImportStats stats = Import(source.fd());
  EXPECT_EQ(Description::Of(destination_.get()), before);
  EXPECT_EQ(Description::Of(source.fd()), before) << "reading left traces in the source";
  EXPECT_EQ(stats.directories, 3U);
  EXPECT_EQ(stats.files, 5U);
  EXPECT_EQ(stats.hard_links, 2U);
  EXPECT_EQ(stats.others, 6U);
  EXPECT_EQ(stats.shared_bytes, 0U);
  EXPECT_EQ(stats.links_outside, 0U);
  // The holes were not written.
  EXPECT_LT(stats.copied_bytes, 200'000U);
  EXPECT_GT(stats.copied_bytes, 74'000U);
}

TEST_F(ImportTest, SharesDataOnTheSameFilesystem) {
  const UniqueFd source = btrfs_->MakeSubvolume("source");
  Fill(source.get());
  Tree(source.get()).Write("big", std::string(3 << 20, 'b'));
  btrfs_->Sync();
  const auto before = Description::Of(source.get());
  ImportOptions options;
  options.free_bytes = 0;  // sharing takes none
  const ImportStats stats = Import(source.get(), options);
  EXPECT_EQ(Description::Of(destination_.get()), before);
  EXPECT_EQ(stats.copied_bytes, 0U);
  EXPECT_GT(stats.shared_bytes, 67U << 20);
}

TEST_F(ImportTest, GoesToAnyDepthWithFewDescriptors) {
  const TestDirectory source;
  // Deeper than descriptors, and with a path longer than PATH_MAX at the bottom.
  constexpr int kDepth = 400;
  const std::string name(60, 'd');
  DirectoryStack stack;
  stack.Push(OpenEntry(source.fd(), ".", O_RDONLY | O_DIRECTORY, ""));
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(mkdirat(stack.top(), name.c_str(), 0755), 0);
    stack.Push(OpenEntry(stack.top(), name, O_RDONLY | O_DIRECTORY, ""));
  }
  Tree(stack.top()).Write("bottom", "deep");
  Tree(stack.top()).Link("bottom", "linked");
  while (stack.depth() > 0) stack.Pop();

  rlimit saved{};
  getrlimit(RLIMIT_NOFILE, &saved);
  const rlimit few{120, saved.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  EXPECT_NO_THROW(Import(source.fd()));
  setrlimit(RLIMIT_NOFILE, &saved);
  EXPECT_EQ(Description::Of(destination_.get()), Description::Of(source.fd()));
  RemoveTreeContents(source.fd());
  EXPECT_EQ(Description::Of(source.fd()).size(), 1U);
}

TEST_F(ImportTest, CopiesFlagsIfRequested) {
  const TestDirectory source;
  const Tree tree(source.fd());
  tree.MakeDirectory("d");
  tree.Write("d/file", "content");
  tree.Link("d/file", "again");
  const auto flags_of = [](int root_fd, const char* path) {
    const UniqueFd fd(openat(root_fd, path, O_RDONLY | O_CLOEXEC));
    const InodeFlags flags = ReadInodeFlags(fd.get());
    return std::pair(flags.others, flags.protecting);
  };
  const auto add = [&](const char* path, uint32_t flags) {
    const UniqueFd fd(openat(source.fd(), path, O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(AddInodeFlags(fd.get(), flags));
  };
  add("d/file", FS_NODUMP_FL);
  add("d/file", FS_IMMUTABLE_FL);
  add("d", FS_IMMUTABLE_FL);
  const std::pair<uint32_t, uint32_t> none(0, 0);
  const std::pair<uint32_t, uint32_t> both(FS_NODUMP_FL, FS_IMMUTABLE_FL);
  Import(source.fd());
  EXPECT_EQ(flags_of(destination_.get(), "again"), none);
  RemoveTreeContents(destination_.get());

  ImportOptions options;
  options.with_flags = true;
  const ImportStats stats = ImportTree(source.fd(), destination_.get(), options);
  EXPECT_EQ(stats.attributes_left_out, 0U);
  EXPECT_EQ(flags_of(destination_.get(), "d/file"), both);
  EXPECT_EQ(flags_of(destination_.get(), "d").second, uint32_t{FS_IMMUTABLE_FL});
  EXPECT_THROW(RemoveTreeContents(destination_.get()), Error);
  RemoveTreeContents(destination_.get(), Protection::kRemove);
  EXPECT_EQ(Description::Of(destination_.get()).size(), 1U);
  RemoveTreeContents(source.fd(), Protection::kRemove);
}

TEST_F(ImportTest, RefusesReservedNamesInTheRootOnly) {
  for (const char* name : {".snapshots", ".ckptfs-control"}) {
    const TestDirectory source;
    Tree(source.fd()).MakeDirectory("sub");
    Tree(source.fd()).MakeDirectory(std::string("sub/") + name);
    EXPECT_NO_THROW(Import(source.fd())) << name;
    RemoveTreeContents(destination_.get());
    Tree(source.fd()).Write(name, "mine");
    const Error error = ImportError(source.fd());
    EXPECT_EQ(error.errno_value(), EPERM);
    EXPECT_THAT(error.what(), HasSubstr(name));
    EXPECT_THAT(error.hint(), HasSubstr("Rename it"));
    EXPECT_EQ(Description::Of(destination_.get()).size(), 1U) << "something was copied";
  }
}

TEST_F(ImportTest, RefusesNestedSubvolumesOrLeavesThemOut) {
  const UniqueFd source = btrfs_->MakeSubvolume("source");
  Tree(source.get()).Write("file", "f");
  const UniqueFd nested = btrfs_->MakeSubvolume("nested");
  ASSERT_EQ(renameat2(btrfs_->root_fd(), "nested", source.get(), "nested", 0), 0);
  Tree(nested.get()).Write("lost", "l");
  const Error error = ImportError(source.get());
  EXPECT_EQ(error.errno_value(), EXDEV);
  EXPECT_THAT(error.what(), HasSubstr("nested"));
  EXPECT_EQ(Description::Of(destination_.get()).size(), 1U);

  ImportOptions options;
  options.leave_out_nested = true;
  const ImportStats stats = Import(source.get(), options);
  EXPECT_THAT(stats.left_out, ::testing::ElementsAre("nested"));
  const auto copy = Description::Of(destination_.get());
  EXPECT_TRUE(copy.contains("nested"));
  EXPECT_FALSE(copy.contains("nested/lost"));
}

TEST_F(ImportTest, RefusesMountPointsEvenOfTheSameFilesystem) {
  const TestDirectory source;
  Tree(source.fd()).MakeDirectory("bound");
  Tree(source.fd()).MakeDirectory("other");
  const TestMount bind("", source.Path("other"), source.Path("bound"), MS_BIND);
  // The mount is in a namespace that the first descriptor is not of.
  const UniqueFd fd(open(source.path().c_str(), O_RDONLY | O_DIRECTORY));
  const Error error = ImportError(fd.get());
  EXPECT_EQ(error.errno_value(), EXDEV);
  EXPECT_THAT(error.what(), HasSubstr("bound"));
}

TEST_F(ImportTest, RefusesWhatHoldsAForbiddenDirectory) {
  const TestDirectory source;
  Tree(source.fd()).MakeDirectory("a");
  Tree(source.fd()).MakeDirectory("a/store");
  struct stat info {};
  ASSERT_EQ(fstatat(source.fd(), "a/store", &info, 0), 0);
  ImportOptions options;
  options.forbidden.push_back({info.st_dev, info.st_ino, "the store"});
  const Error error = ImportError(source.fd(), options);
  EXPECT_EQ(error.errno_value(), ELOOP);
  EXPECT_THAT(error.what(), HasSubstr("a/store"));
}

TEST_F(ImportTest, ChecksTheSpaceBeforeItCopies) {
  const TestDirectory source;
  Tree(source.fd()).Write("big", std::string(8 << 20, 'b'));
  ImportOptions options;
  options.free_bytes = 4 << 20;
  const Error error = ImportError(source.fd(), options);
  EXPECT_EQ(error.errno_value(), ENOSPC);
  EXPECT_EQ(Description::Of(destination_.get()).size(), 1U);
  options.free_bytes = 64 << 20;
  EXPECT_NO_THROW(Import(source.fd(), options));
}

TEST_F(ImportTest, ReportsProgressAndCanBeGivenUp) {
  const TestDirectory source;
  Tree(source.fd()).Write("a", std::string(1000, 'a'));
  Tree(source.fd()).Write("b", std::string(2000, 'b'));
  ImportOptions options;
  ImportProgress last;
  options.progress = [&last](const ImportProgress& progress) {
    last = progress;
    return true;
  };
  Import(source.fd(), options);
  EXPECT_EQ(last.done_bytes, 3000U);
  EXPECT_EQ(last.total_bytes, 3000U);
  EXPECT_EQ(last.done_entries, 3U);
  EXPECT_EQ(last.total_entries, 3U);

  RemoveTreeContents(destination_.get());
  options.progress = [](const ImportProgress&) { return false; };
  EXPECT_EQ(ImportError(source.fd(), options).errno_value(), ECANCELED);
}

// What can happen to a tree while it is copied. Each is done at the first word of progress.
struct Disturbance {
  const char* name;
  void (*disturb)(const Tree& tree);
  const char* culprit;
};

class ImportDisturbedTest : public ImportTest, public ::testing::WithParamInterface<Disturbance> {};

TEST_P(ImportDisturbedTest, FailsWhenTheSourceChangesMeanwhile) {
  const TestDirectory source;
  const Tree tree(source.fd());
  tree.MakeDirectory("dir");
  tree.Write("dir/a", "aaaa");
  tree.Write("dir/b", "bbbb");
  tree.MakeDirectory("other");
  tree.SetMtime("dir/a", 1'000'000'000'000'000'000);
  bool done = false;
  ImportOptions options;
  options.progress = [&](const ImportProgress& progress) {
    // The end: all is copied, and only the last look can find it.
    if (!done && progress.done_entries == progress.total_entries) {
      done = true;
      GetParam().disturb(tree);
    }
    return true;
  };
  const Error error = ImportError(source.fd(), options);
  EXPECT_TRUE(done);
  EXPECT_EQ(error.errno_value(), EAGAIN);
  EXPECT_THAT(error.what(), HasSubstr("changed while it was copied"));
  EXPECT_THAT(error.what(), HasSubstr(GetParam().culprit));
}

INSTANTIATE_TEST_SUITE_P(
    All, ImportDisturbedTest,
    ::testing::Values(
        Disturbance{"Written", [](const Tree& tree) { tree.Write("dir/b", "cccc"); }, "dir/b"},
        Disturbance{"WrittenWithOldTimes",
                    [](const Tree& tree) {
                      tree.Write("dir/a", "cccc");
                      tree.SetMtime("dir/a", 1'000'000'000'000'000'000);
                    },
                    "dir/a"},
        Disturbance{"Added", [](const Tree& tree) { tree.Write("other/new", "n"); }, "other"},
        Disturbance{"Removed", [](const Tree& tree) { tree.Unlink("dir/b"); }, "dir"},
        Disturbance{"Renamed", [](const Tree& tree) { tree.Rename("dir/b", "dir/c"); }, "dir"},
        Disturbance{"ModeChanged", [](const Tree& tree) { tree.Chmod("dir/b", 0600); }, "dir/b"},
        Disturbance{"AttributeSet", [](const Tree& tree) { tree.SetXattr("dir/b", "user.x", "1"); },
                    "dir/b"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_F(ImportTest, CountsLinksThatLeadOutside) {
  const TestDirectory directory;
  const Tree tree(directory.fd());
  tree.MakeDirectory("in");
  tree.Write("in/a", "a");
  tree.Link("in/a", "outside");
  const UniqueFd source = tree.Open("in", O_RDONLY | O_DIRECTORY);
  const ImportStats stats = Import(source.get());
  EXPECT_EQ(stats.links_outside, 1U);
  EXPECT_EQ(stats.hard_links, 0U);
}

TEST_F(ImportTest, NeverFollowsASymlinkOutOfTheTree) {
  const TestDirectory secret;
  Tree(secret.fd()).Write("password", "secret");
  const TestDirectory source;
  Tree(source.fd()).Symlink(secret.path(), "out");
  Import(source.fd());
  const auto copy = Description::Of(destination_.get());
  ASSERT_TRUE(copy.contains("out"));
  EXPECT_THAT(copy.at("out"), HasSubstr("target=" + secret.path()));
  EXPECT_EQ(copy.size(), 2U);
}

TEST_F(ImportTest, RemovalStopsAtMountPoints) {
  const TestDirectory directory;
  Tree(directory.fd()).MakeDirectory("bound");
  Tree(directory.fd()).MakeDirectory("other");
  Tree(directory.fd()).Write("other/precious", "p");
  {
    const TestDirectory victim;
    Tree(victim.fd()).MakeDirectory("bound");
    const TestMount bind("", directory.Path("other"), victim.Path("bound"), MS_BIND);
    const UniqueFd fd(open(victim.path().c_str(), O_RDONLY | O_DIRECTORY));
    EXPECT_THROW(RemoveTreeContents(fd.get()), Error);
  }
  EXPECT_TRUE(ExistsAt(directory.fd(), "other"));
  EXPECT_EQ(ReadFileAt(directory.fd(), "other/precious"), "p");
}

}  // namespace
}  // namespace ckptfs
