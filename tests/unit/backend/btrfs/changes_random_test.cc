// Random changes to small trees, compared in every way and held against the oracle.

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdlib>
#include <random>
#include <set>

#include "backend/btrfs/subvolume_files.h"
#include "tests/unit/backend/btrfs/changes_fixture.h"

namespace ckptfs {
namespace {

// Makes random changes to one tree. Keeps no record of it but a list of paths, read anew for each
// step, and lets the kernel refuse what cannot be done.
class RandomChanges {
 public:
  RandomChanges(int root_fd, uint32_t seed) : root_fd_(root_fd), tree_(root_fd), random_(seed) {}

  void Run(int steps) {
    for (int i = 0; i < steps; ++i) {
      paths_.clear();
      List("");
      try {
        Step();
      } catch (const Error& error) {
        // ENOTEMPTY, EISDIR and the like: as good as another step.
        last_error_ = error.errno_value();
      }
    }
    held_.clear();
  }

 private:
  size_t Number(size_t limit) { return random_() % limit; }
  bool OneIn(size_t n) { return Number(n) == 0; }

  void List(const std::string& directory) {
    const SubvolumeFiles files(root_fd_, NoLimits());
    const DirectoryList entries = files.List(directory);
    for (size_t i = 0; i < entries.size(); ++i) {
      const std::string path = JoinPath(directory, entries[i].name);
      paths_.push_back(path);
      if (entries[i].is_directory) List(path);
    }
  }

  std::string Existing() { return paths_.empty() ? "none" : paths_[Number(paths_.size())]; }

  // A directory is as likely to be chosen as all files together.
  std::string Directory() {
    std::vector<std::string> directories{""};
    for (const std::string& path : paths_) {
      struct stat status = {};
      fstatat(root_fd_, path.c_str(), &status, AT_SYMLINK_NOFOLLOW);
      if (S_ISDIR(status.st_mode)) directories.push_back(path);
    }
    return directories[Number(directories.size())];
  }

  std::string Name() {
    static const std::vector<std::string> kNames = {
        "a", "b", "c", "d e", "n\nl", "\xff\x01", "-> x", std::string(255, 'L')};
    // What the kernel calls a file of that number while it is in the way of another.
    if (OneIn(6) && !paths_.empty()) {
      struct stat status = {};
      fstatat(root_fd_, Existing().c_str(), &status, AT_SYMLINK_NOFOLLOW);
      return fmt::format("o-{}-{}-0", status.st_ino, 1 + Number(60));
    }
    return kNames[Number(kNames.size())];
  }

  std::string New() {
    const std::string path = JoinPath(Directory(), Name());
    return path.size() < 1000 ? path : Name();  // no deeper than this
  }

  std::string Content() {
    return std::string(OneIn(3) ? 10'000 : 1 + Number(20), static_cast<char>('a' + Number(3)));
  }

  void Step() {
    static const std::vector<void (RandomChanges::*)()> kSteps = {
        &RandomChanges::Make,          &RandomChanges::Make,      &RandomChanges::Move,
        &RandomChanges::Move,          &RandomChanges::Move,      &RandomChanges::Remove,
        &RandomChanges::Replace,       &RandomChanges::DiffEntry, &RandomChanges::DiffEntry,
        &RandomChanges::ChangeContents};
    (this->*kSteps[Number(kSteps.size())])();
  }

  void Make() {
    const std::string path = New();
    switch (Number(8)) {
      case 0:
      case 1:
        return tree_.MakeDirectory(path);
      case 2:
        return tree_.Symlink(Name(), path);
      case 3:
        return tree_.Link(Existing(), path);
      case 4:
        return tree_.MakeNode(path, (OneIn(2) ? S_IFIFO : S_IFSOCK) | 0600);
      case 5:
        return tree_.MakeNode(path, S_IFCHR | 0600, makedev(1, static_cast<unsigned>(Number(8))));
      default:
        return tree_.Write(path, Content());
    }
  }

  void Move() {
    if (OneIn(3)) return tree_.Rename(Existing(), Existing(), RENAME_EXCHANGE);
    tree_.Rename(Existing(), OneIn(3) ? Existing() : New());
  }

  void Remove() { RemoveTree(Existing()); }

  void RemoveTree(const std::string& path) {
    struct stat status = {};
    CheckSyscall(fstatat(root_fd_, path.c_str(), &status, AT_SYMLINK_NOFOLLOW), "stat");
    if (S_ISREG(status.st_mode) && OneIn(4)) held_.push_back(tree_.Open(path, O_RDONLY));
    if (!S_ISDIR(status.st_mode)) return tree_.Unlink(path);
    const SubvolumeFiles files(root_fd_, NoLimits());
    const DirectoryList entries = files.List(path);
    for (size_t i = 0; i < entries.size(); ++i) RemoveTree(JoinPath(path, entries[i].name));
    tree_.RemoveDirectory(path);
  }

  // Something else, or the same made anew, under an old name.
  void Replace() {
    const std::string path = Existing();
    switch (Number(4)) {
      case 0:
        tree_.Write("tmp", Content());
        return tree_.Rename("tmp", path);
      case 1: {
        const int64_t mtime = tree_.Mtime(path);
        RemoveTree(path);
        tree_.Write(path, Content());
        return tree_.SetMtime(path, mtime);
      }
      case 2:
        RemoveTree(path);
        tree_.MakeDirectory(path);
        return tree_.Write(JoinPath(path, Name()), Content());
      default:
        RemoveTree(path);
        return tree_.Symlink(Name(), path);
    }
  }

  void DiffEntry() {
    const std::string path = Existing();
    switch (Number(6)) {
      case 0:
        return tree_.Chmod(path, static_cast<mode_t>(0600 + Number(3)));
      case 1:
        return tree_.Chown(path, static_cast<uid_t>(Number(3)), static_cast<gid_t>(Number(3)));
      case 2:
        return tree_.SetXattr(path, OneIn(2) ? "trusted.x" : "trusted.y", Content().substr(0, 9));
      case 3:
        return tree_.RemoveXattr(path, "trusted.x");
      case 4:
        return tree_.SetMtime(path, static_cast<int64_t>(Number(3)));
      default:
        return tree_.SetAtime(path, static_cast<int64_t>(Number(1000)));
    }
  }

  void ChangeContents() {
    const std::string path = Existing();
    // A FIFO would wait for a reader.
    struct stat status = {};
    fstatat(root_fd_, path.c_str(), &status, AT_SYMLINK_NOFOLLOW);
    if (!S_ISREG(status.st_mode)) return;
    const int64_t mtime = tree_.Mtime(path);
    switch (Number(6)) {
      case 0:
        tree_.Truncate(path, static_cast<off_t>(Number(20'000)));
        break;
      case 1:
        tree_.Allocate(path, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
        break;
      case 2:
        tree_.Allocate(path, OneIn(2) ? FALLOC_FL_KEEP_SIZE : 0, 0, 20'000);
        break;
      case 3:
        tree_.Write(path, Content());
        break;
      default:
        tree_.WriteAt(path, static_cast<off_t>(Number(3)), Content());
        break;
    }
    if (OneIn(2)) tree_.SetMtime(path, mtime);
  }

  int root_fd_;
  Tree tree_;
  std::mt19937 random_;
  std::vector<std::string> paths_;
  std::vector<UniqueFd> held_;  // unlinked, but open
  int last_error_ = 0;
};

// CKPTFS_TEST_SEED and CKPTFS_TEST_ROUNDS ask for other rounds, or more.
uint32_t FromEnvironment(const char* name, uint32_t otherwise) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
  return value == nullptr ? otherwise : static_cast<uint32_t>(std::stoul(value));
}

class ChangesRandomTest : public ChangesFixture {
 protected:
  static uint32_t Seed() { return FromEnvironment("CKPTFS_TEST_SEED", 1); }
  static uint32_t Rounds(uint32_t otherwise) {
    return FromEnvironment("CKPTFS_TEST_ROUNDS", otherwise);
  }
};

TEST_F(ChangesRandomTest, OneHistory) {
  size_t lines = 0;
  std::set<char> kinds;
  UniqueFd before = Snapshot();
  for (uint32_t round = 0; round < Rounds(200); ++round) {
    SCOPED_TRACE(fmt::format("seed {}, round {}", Seed(), round));
    const auto steps = static_cast<int>(1 + round % 40);
    RandomChanges(live_fd(), Seed() * 100'000 + round).Run(steps);
    UniqueFd after = Snapshot();
    const std::vector<std::string> found = CompareRelated(before, after);
    ASSERT_FALSE(HasFailure());
    lines += found.size();
    for (const std::string& line : found) kinds.insert(line.front());
    before = std::move(after);
  }
  // The rounds were of some use.
  EXPECT_GT(lines, 2 * Rounds(200));
  EXPECT_EQ(kinds.size(), 4u);
}

// What forks make at the same time has the same inode numbers, and often the same generations.
TEST_F(ChangesRandomTest, PartedHistories) {
  for (uint32_t round = 0; round < Rounds(60); ++round) {
    SCOPED_TRACE(fmt::format("seed {}, round {}", Seed(), round));
    const uint32_t seed = Seed() * 100'000 + 50'000 + 3 * round;
    RandomChanges(live_fd(), seed).Run(10);
    const UniqueFd origin = Snapshot();
    const UniqueFd left = filesystem().Snapshot(origin.get(), NewName(), false);
    const UniqueFd right = filesystem().Snapshot(origin.get(), NewName(), false);
    const auto steps = static_cast<int>(1 + round % 20);
    RandomChanges(left.get(), seed + 1).Run(steps);
    // Every third time both do the same.
    RandomChanges(right.get(), round % 3 == 0 ? seed + 1 : seed + 2).Run(steps);
    Compare(Snapshot(left), Snapshot(right));
    ASSERT_FALSE(HasFailure());
  }
}

TEST_F(ChangesRandomTest, UnrelatedVolumes) {
  for (uint32_t round = 0; round < Rounds(30); ++round) {
    SCOPED_TRACE(fmt::format("seed {}, round {}", Seed(), round));
    const uint32_t seed = Seed() * 100'000 + 90'000 + 2 * round;
    const UniqueFd left = filesystem().MakeSubvolume(NewName());
    const UniqueFd right = filesystem().MakeSubvolume(NewName());
    RandomChanges(left.get(), seed).Run(20);
    RandomChanges(right.get(), round % 3 == 0 ? seed : seed + 1).Run(20);
    Compare(Snapshot(left), Snapshot(right));
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace ckptfs
