#include "backend/btrfs/btrfs_backend.h"

#include <btrfsutil.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "backend/base/error.h"
#include "backend/base/units.h"
#include "backend/base/write_out.h"
#include "backend/interface/backend.h"
#include "backend/mount/disk_space.h"
#include "tests/unit/backend/backend_fixture.h"

namespace ckptfs {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// What is btrfs's own, on both backends that use it.
class BtrfsBackendTest : public BackendTest {
 protected:
  // A directory of the filesystem above volumes/, to put foreign things in.
  UniqueFd OpenVolumes() {
    return UniqueFd(openat(backend_->meta_fd(), "../volumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
};

INSTANTIATE_TEST_SUITE_P(Types, BtrfsBackendTest, testing::Values("btrfs-loop", "btrfs-base"),
                         BackendTest::NameOf);

TEST_P(BtrfsBackendTest, ListsVolumesAndNamesWhatIsForeign) {
  const VolumeId live = MakeVolume();
  const VolumeId snapshot = TakeSnapshot(live);
  const UniqueFd volumes = OpenVolumes();
  const std::string impostor = VolumeId::Generate().str();
  ASSERT_EQ(mkdirat(volumes.get(), impostor.c_str(), 0700), 0);
  WriteFileAt(volumes.get(), "note.txt", "by hand");
  ASSERT_EQ(btrfs_util_create_subvolume_fd(volumes.get(), "by-hand", 0, nullptr, nullptr),
            BTRFS_UTIL_OK);
  // A subvolume elsewhere is not one of ours, whatever its name.
  ASSERT_EQ(btrfs_util_create_subvolume_fd(backend_->meta_fd(), VolumeId::Generate().c_str(), 0,
                                           nullptr, nullptr),
            BTRFS_UTIL_OK);

  std::vector<std::pair<std::string, bool>> found;
  for (const VolumeListing& volume : backend_->List()) {
    found.emplace_back(volume.id.str(), volume.read_only);
  }
  EXPECT_THAT(found,
              UnorderedElementsAre(std::pair(live.str(), false), std::pair(snapshot.str(), true)));
  EXPECT_THAT(backend_->ListForeign(), UnorderedElementsAre(impostor, "by-hand", "note.txt"));
}

TEST_P(BtrfsBackendTest, DestroyTakesVolumesAndNothingElse) {
  const VolumeId live = MakeVolume();
  const VolumeId snapshot = TakeSnapshot(live);
  EXPECT_TRUE(backend_->Destroy(snapshot));
  EXPECT_FALSE(backend_->Destroy(snapshot));
  EXPECT_TRUE(backend_->Destroy(live));
  backend_->WaitDurable();
  EXPECT_TRUE(backend_->List().empty());

  const UniqueFd volumes = OpenVolumes();
  const VolumeId plain = VolumeId::Generate();
  const VolumeId file = VolumeId::Generate();
  ASSERT_EQ(mkdirat(volumes.get(), plain.c_str(), 0700), 0);
  WriteFileAt(volumes.get(), file.str(), "mine");
  EXPECT_EQ(ErrnoOf([&] { backend_->Destroy(plain); }), ENOTDIR);
  EXPECT_EQ(ErrnoOf([&] { backend_->Destroy(file); }), ENOTDIR);
  EXPECT_EQ(ErrnoOf([&] { backend_->Open(plain); }), ENOENT);
  EXPECT_TRUE(ExistsAt(volumes.get(), plain.str()));
  EXPECT_EQ(ReadFileAt(volumes.get(), file.str()), "mine");

  const VolumeId nesting = MakeVolume();
  ASSERT_EQ(btrfs_util_create_subvolume_fd(backend_->Open(nesting)->root_fd(), "nested", 0, nullptr,
                                           nullptr),
            BTRFS_UTIL_OK);
  EXPECT_EQ(ErrnoOf([&] { backend_->Destroy(nesting); }), ENOTEMPTY);
}

TEST_P(BtrfsBackendTest, DestroyedVolumesArePendingUntilCleaned) {
  const VolumeId live = MakeVolume();
  auto volume = backend_->Open(live);
  WriteFileAt(volume->root_fd(), "file", std::string(kMiB, 'x'));
  backend_->Sync(live);
  // The cleaner leaves alone what is open.
  const UniqueFd open_file =
      volume->OpenInode(volume->Identify(volume->root_fd(), "file"), O_RDONLY);
  ASSERT_TRUE(backend_->Destroy(live));
  EXPECT_EQ(backend_->PendingDestroys(), 1u);
  char byte = 0;
  EXPECT_EQ(read(open_file.get(), &byte, 1), 1);
}

// An active swap file, for as long as it lives.
class ActiveSwap {
 public:
  explicit ActiveSwap(int fd)
      : path_("/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd)) {
    const std::string mkswap = "PATH=$PATH:/usr/sbin:/sbin mkswap " + path_ + " >/dev/null 2>&1";
    active_ = std::system(mkswap.c_str()) == 0 && swapon(path_.c_str(), 0) == 0;
  }
  ~ActiveSwap() {
    if (active_ && swapoff(path_.c_str()) != 0) ADD_FAILURE() << "swapoff: " << errno;
  }
  ActiveSwap(const ActiveSwap&) = delete;
  ActiveSwap& operator=(const ActiveSwap&) = delete;
  bool active() const { return active_; }

 private:
  std::string path_;
  bool active_ = false;
};

TEST_P(BtrfsBackendTest, SwapFileRefusesSnapshot) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  const UniqueFd file(openat(volume->root_fd(), "swap", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  int flags = FS_NOCOW_FL;
  ASSERT_EQ(ioctl(file.get(), FS_IOC_SETFLAGS, &flags), 0);
  const std::string zeros(4 * kMiB, '\0');
  ASSERT_EQ(write(file.get(), zeros.data(), zeros.size()), static_cast<ssize_t>(zeros.size()));
  ASSERT_EQ(fsync(file.get()), 0);
  {
    const ActiveSwap swap(file.get());
    if (!swap.active()) GTEST_SKIP() << "no swap file can be made active here";
    const Error error = ErrorOf([&] { TakeSnapshot(live); });
    EXPECT_EQ(error.errno_value(), ETXTBSY);
    EXPECT_THAT(error.what(), HasSubstr("swap file"));
  }
  TakeSnapshot(live);
}

TEST_P(BtrfsBackendTest, TellsThePathOfAnInodeInEachVolume) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  ASSERT_EQ(mkdirat(volume->root_fd(), "sub", 0700), 0);
  WriteFileAt(volume->root_fd(), "sub/odd\n\xff", "x");
  const uint64_t inode = volume->Identify(volume->root_fd(), "sub/odd\n\xff").inode;
  const auto snapshot = backend_->Open(TakeSnapshot(live));
  ASSERT_EQ(renameat(volume->root_fd(), "sub/odd\n\xff", volume->root_fd(), "plain"), 0);
  EXPECT_EQ(snapshot->PathOf(inode), "sub/odd\n\xff");
  EXPECT_EQ(volume->PathOf(inode), "plain");

  const UniqueFd open_file = volume->OpenInode({.inode = inode}, O_RDONLY);
  ASSERT_EQ(unlinkat(volume->root_fd(), "plain", 0), 0);
  EXPECT_EQ(backend_->Open(TakeSnapshot(live))->PathOf(inode), "");
  EXPECT_EQ(volume->PathOf(uint64_t{1} << 39), "");

  // Longer than the kernel tells.
  std::string path(250, 'd');
  ASSERT_EQ(mkdirat(volume->root_fd(), path.c_str(), 0700), 0);
  UniqueFd deepest(openat(volume->root_fd(), path.c_str(), O_PATH | O_DIRECTORY));
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(mkdirat(deepest.get(), path.c_str(), 0700), 0);
    deepest.Reset(openat(deepest.get(), path.c_str(), O_PATH | O_DIRECTORY));
  }
  EXPECT_EQ(volume->PathOf(volume->Identify(deepest.get(), "").inode), "");
}

TEST_P(BtrfsBackendTest, NamesThatLeadOutOfTheVolumeAreRefused) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  ASSERT_EQ(btrfs_util_create_subvolume_fd(volume->root_fd(), "nested", 0, nullptr, nullptr),
            BTRFS_UTIL_OK);
  EXPECT_EQ(ErrnoOf([&] { volume->Identify(volume->root_fd(), "nested"); }), EXDEV);
  EXPECT_EQ(ErrnoOf([&] { volume->Identify(volume->root_fd(), ".."); }), EXDEV);
  const auto snapshot = backend_->Open(TakeSnapshot(live));
  EXPECT_EQ(ErrnoOf([&] { snapshot->Identify(snapshot->root_fd(), "nested"); }), EXDEV);
}

TEST_P(BtrfsBackendTest, UsageTellsSharedFromExclusive) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  WriteFileAt(volume->root_fd(), "first", std::string(2 * kMiB, 'a'));
  WriteFileAt(volume->root_fd(), "small", "in the tree");
  backend_->Sync(live);
  EXPECT_EQ(backend_->Usage(live).referenced_bytes, 2 * kMiB + 11);
  EXPECT_EQ(backend_->Usage(live).exclusive_bytes, 2 * kMiB);

  const VolumeId snapshot = TakeSnapshot(live);
  EXPECT_EQ(backend_->Usage(snapshot).referenced_bytes, 2 * kMiB + 11);
  EXPECT_EQ(backend_->Usage(snapshot).exclusive_bytes, 0u);
  WriteFileAt(volume->root_fd(), "second", std::string(kMiB, 'b'));
  backend_->Sync(live);
  EXPECT_EQ(backend_->Usage(live).referenced_bytes, 3 * kMiB + 11);
  EXPECT_EQ(backend_->Usage(live).exclusive_bytes, kMiB);

  ASSERT_EQ(unlinkat(volume->root_fd(), "first", 0), 0);
  backend_->Sync(live);
  EXPECT_EQ(backend_->Usage(snapshot).exclusive_bytes, 2 * kMiB);
}

TEST_P(BtrfsBackendTest, UsageCountsALinkedCopyInTheSameVolumeOnce) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  WriteFileAt(volume->root_fd(), "original", std::string(kMiB, 'a'));
  const UniqueFd original(openat(volume->root_fd(), "original", O_RDONLY | O_CLOEXEC));
  const UniqueFd copy(openat(volume->root_fd(), "copy", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(ioctl(copy.get(), FICLONE, original.get()), 0);
  backend_->Sync(live);
  EXPECT_EQ(backend_->Usage(live).referenced_bytes, kMiB);
  EXPECT_EQ(backend_->Usage(live).exclusive_bytes, kMiB);
  TakeSnapshot(live);
  EXPECT_EQ(backend_->Usage(live).exclusive_bytes, 0u);
}

TEST_P(BtrfsBackendTest, SpaceAddsUp) {
  const SpaceInfo space = backend_->Space();
  EXPECT_EQ(space.total_bytes, kTestStoreBytes);
  EXPECT_LT(space.used_bytes, 8 * kMiB);
  EXPECT_GT(space.free_bytes, 100 * kMiB);
  EXPECT_LE(space.free_bytes + space.used_bytes, space.total_bytes);
}

TEST_P(BtrfsBackendTest, EachPlaceThatCanRunShortHasRoomAtFirst) {
  const std::vector<SpaceLevel> levels = backend_->SpaceLevels();
  ASSERT_GE(levels.size(), 2u);
  size_t of_metadata = 0;
  for (const SpaceLevel& level : levels) {
    SCOPED_TRACE(level.name);
    EXPECT_GT(level.free_bytes, std::max(level.metadata_bytes, FreeSpaceFloor(level.total_bytes)));
    EXPECT_LE(level.free_bytes, level.total_bytes);
    EXPECT_FALSE(level.is_overcommitted);
    EXPECT_THAT(level.remedy, HasSubstr("elete snapshots"));
    of_metadata += level.is_metadata ? 1 : 0;
  }
  EXPECT_EQ(of_metadata, 1u);
}

TEST_P(BtrfsBackendTest, AFullFilesystemIsALevelThatIsFull) {
  const VolumeId live = MakeVolume();
  {
    const auto volume = backend_->Open(live);
    const UniqueFd file(openat(volume->root_fd(), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    const std::string block(kMiB, 'x');
    while (backend_->Space().free_bytes > 4 * kMiB) {
      if (write(file.get(), block.data(), block.size()) < 0) break;
      ASSERT_EQ(fdatasync(file.get()), 0);
    }
  }
  EXPECT_LE(backend_->SpaceLevels().front().free_bytes, 4 * kMiB);
  ASSERT_TRUE(backend_->Destroy(live));
  // Each commit also wakes the thread that dismantles destroyed volumes.
  for (int i = 0; i < 500 && backend_->SpaceLevels().front().free_bytes < 100 * kMiB; ++i) {
    usleep(10'000);
    backend_->WaitDurable();
  }
  EXPECT_GT(backend_->SpaceLevels().front().free_bytes, 100 * kMiB);
}

}  // namespace
}  // namespace ckptfs
