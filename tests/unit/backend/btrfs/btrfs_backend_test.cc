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

#include <thread>

#include "backend/backend.h"
#include "backend/base/error.h"
#include "backend/base/write_out.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kImageBytes = 256 * kMiB;

template <typename Action>
int ErrnoOf(Action action) {
  return ErrorOf(action).errno_value();
}

// Everything here is to hold for both backends.
class BtrfsBackendTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
    if (GetParam() == "btrfs-loop") {
      store_.Reset(openat(directory_.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      CreateBackend(store_.get(), "btrfs-loop", {.size_bytes = kImageBytes});
    } else {
      MountHost();
      CreateBackend(store_.get(), "btrfs-base", {});
    }
    backend_ = OpenBackend(store_.get(), GetParam(), {});
  }

  // A btrfs filesystem with the store in a subvolume's subdirectory.
  void MountHost() {
    TestDirectory maker;
    CreateBackend(maker.fd(), "btrfs-loop", {.size_bytes = kImageBytes});
    CopySparse(maker.Path("volumes.img"), directory_.Path("host.img"));
    ASSERT_EQ(mkdir(directory_.Path("host").c_str(), 0700), 0);
    host_ =
        std::make_unique<TestMount>("btrfs", directory_.Path("host.img"), directory_.Path("host"));
    ASSERT_EQ(btrfs_util_create_subvolume(directory_.Path("host/sub").c_str(), 0, nullptr, nullptr),
              BTRFS_UTIL_OK);
    ASSERT_EQ(mkdir(directory_.Path("host/sub/store").c_str(), 0700), 0);
    store_.Reset(
        open(directory_.Path("host/sub/store").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }

  VolumeId MakeVolume() {
    VolumeId id = VolumeId::Generate();
    backend_->CreateEmpty(id);
    return id;
  }

  VolumeId TakeSnapshot(const VolumeId& source) {
    VolumeId id = VolumeId::Generate();
    backend_->Snapshot(source, id);
    return id;
  }

  // A directory of the filesystem above volumes/, to put foreign things in.
  UniqueFd OpenVolumes() {
    return UniqueFd(openat(backend_->meta_fd(), "../volumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }

  TestDirectory directory_;
  std::unique_ptr<TestMount> host_;
  UniqueFd store_;
  std::unique_ptr<Backend> backend_;
};

std::string NameOf(const testing::TestParamInfo<std::string>& tested) {
  return tested.param == "btrfs-loop" ? "Loop" : "Base";
}
INSTANTIATE_TEST_SUITE_P(Types, BtrfsBackendTest, testing::Values("btrfs-loop", "btrfs-base"),
                         NameOf);

TEST_P(BtrfsBackendTest, NewVolumeIsAnEmptyWritableDirectory) {
  const mode_t umask_before = umask(077);
  const VolumeId id = MakeVolume();
  umask(umask_before);
  const auto volume = backend_->Open(id);
  struct stat stat {};
  ASSERT_EQ(fstat(volume->root_fd(), &stat), 0);
  EXPECT_EQ(stat.st_mode, mode_t{S_IFDIR | 0755});
  EXPECT_EQ(stat.st_uid, 0u);
  EXPECT_EQ(stat.st_ino, volume->root_inode());
  WriteFileAt(volume->root_fd(), "file", "content");
  EXPECT_EQ(ErrnoOf([&] { backend_->CreateEmpty(id); }), EEXIST);
  EXPECT_EQ(ErrnoOf([&] { backend_->Open(VolumeId::Generate()); }), ENOENT);
}

TEST_P(BtrfsBackendTest, SnapshotKeepsAndCloneGoesOn) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  WriteFileAt(volume->root_fd(), "file", "before");
  const VolumeId snapshot = TakeSnapshot(live);
  WriteFileAt(volume->root_fd(), "file", "after");
  const VolumeId clone = VolumeId::Generate();
  backend_->Clone(snapshot, clone);

  EXPECT_EQ(ReadFileAt(backend_->Open(snapshot)->root_fd(), "file"), "before");
  EXPECT_EQ(ErrnoOf([&] { WriteFileAt(backend_->Open(snapshot)->root_fd(), "file", "x"); }), EROFS);
  const auto cloned = backend_->Open(clone);
  EXPECT_EQ(ReadFileAt(cloned->root_fd(), "file"), "before");
  WriteFileAt(cloned->root_fd(), "file", "clone");
  EXPECT_EQ(ReadFileAt(volume->root_fd(), "file"), "after");
  EXPECT_EQ(ErrnoOf([&] { backend_->Snapshot(live, snapshot); }), EEXIST);
  EXPECT_EQ(ErrnoOf([&] { backend_->Snapshot(VolumeId::Generate(), VolumeId::Generate()); }),
            ENOENT);
}

TEST_P(BtrfsBackendTest, SealMakesReadOnlyForGood) {
  const VolumeId live = MakeVolume();
  WriteFileAt(backend_->Open(live)->root_fd(), "file", "kept");
  backend_->Seal(live);
  backend_->Seal(live);
  EXPECT_EQ(ErrnoOf([&] { WriteFileAt(backend_->Open(live)->root_fd(), "file", "x"); }), EROFS);
  ASSERT_EQ(backend_->List().size(), 1u);
  EXPECT_TRUE(backend_->List()[0].read_only);
  EXPECT_EQ(ReadFileAt(backend_->Open(live)->root_fd(), "file"), "kept");
}

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

TEST_P(BtrfsBackendTest, FilesAreReachedByNumberInEveryVolume) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  WriteFileAt(volume->root_fd(), "file", "old");
  ASSERT_EQ(symlinkat("/etc/passwd", volume->root_fd(), "link"), 0);
  ASSERT_EQ(mkdirat(volume->root_fd(), "dir", 0755), 0);
  const FileId file = volume->Identify(volume->root_fd(), "file");
  const FileId link = volume->Identify(volume->root_fd(), "link");
  const FileId dir = volume->Identify(volume->root_fd(), "dir");
  const auto snapshot = backend_->Open(TakeSnapshot(live));
  WriteFileAt(volume->root_fd(), "file", "new");

  char text[3] = {};
  EXPECT_EQ(read(volume->OpenInode(file, O_RDONLY).get(), text, 3), 3);
  EXPECT_EQ(std::string(text, 3), "new");
  EXPECT_EQ(read(snapshot->OpenInode(file, O_RDONLY).get(), text, 3), 3);
  EXPECT_EQ(std::string(text, 3), "old");
  EXPECT_EQ(snapshot->Identify(snapshot->root_fd(), "file"), file);

  struct stat stat {};
  ASSERT_EQ(fstat(volume->OpenInode(link, O_PATH | O_NOFOLLOW).get(), &stat), 0);
  EXPECT_TRUE(S_ISLNK(stat.st_mode));
  const UniqueFd opened = volume->OpenInode(dir, O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(volume->Identify(opened.get(), ""), dir);
  EXPECT_EQ(volume->Identify(volume->root_fd(), "").inode, volume->root_inode());
  EXPECT_TRUE(fcntl(opened.get(), F_GETFD) & FD_CLOEXEC);
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

TEST_P(BtrfsBackendTest, IdentityOfWhatIsNotThere) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  WriteFileAt(volume->root_fd(), "file", "x");
  FileId file = volume->Identify(volume->root_fd(), "file");
  EXPECT_EQ(ErrnoOf([&] { volume->Identify(volume->root_fd(), "none"); }), ENOENT);

  FileId other_generation = file;
  ++other_generation.generation;
  EXPECT_EQ(ErrnoOf([&] { volume->OpenInode(other_generation, O_PATH); }), ESTALE);
  EXPECT_EQ(ErrnoOf([&] { volume->OpenInode({file.inode, 0}, O_PATH); }), 0);
  ASSERT_EQ(unlinkat(volume->root_fd(), "file", 0), 0);
  EXPECT_EQ(ErrnoOf([&] { volume->OpenInode(file, O_PATH); }), ESTALE);
  EXPECT_EQ(ErrnoOf([&] { volume->OpenInode({1, 0}, O_PATH); }), ESTALE);
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

TEST_P(BtrfsBackendTest, VolumeOutlivesTheBackend) {
  const VolumeId live = MakeVolume();
  auto volume = backend_->Open(live);
  WriteFileAt(volume->root_fd(), "file", "still here");
  backend_.reset();
  EXPECT_EQ(ReadFileAt(volume->root_fd(), "file"), "still here");
}

TEST_P(BtrfsBackendTest, MarkerStaysOverSnapshotsAndMovesWithChanges) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  const int root = volume->root_fd();
  WriteFileAt(root, "file", "content");
  VolumeId last = TakeSnapshot(live);

  // What changes nothing: more snapshots, clones, syncs, other volumes, looking.
  const uint64_t marker = backend_->ChangeMarker(live);
  EXPECT_EQ(backend_->ChangeMarker(last), marker);
  const VolumeId clone = VolumeId::Generate();
  backend_->Clone(last, clone);
  TakeSnapshot(live);
  WriteFileAt(backend_->Open(MakeVolume())->root_fd(), "file", "elsewhere");
  backend_->Sync(live);
  struct stat stat {};
  ASSERT_EQ(fstatat(root, "file", &stat, 0), 0);
  EXPECT_EQ(backend_->ChangeMarker(live), marker);
  EXPECT_EQ(backend_->ChangeMarker(clone), marker);

  const std::vector<std::pair<const char*, std::function<void()>>> changes = {
      {"create", [&] { WriteFileAt(root, "new", ""); }},
      {"write", [&] { WriteFileAt(root, "file", "CONTENT"); }},
      {"chmod", [&] { ASSERT_EQ(fchmodat(root, "file", 0600, 0), 0); }},
      {"chmod of the root", [&] { ASSERT_EQ(fchmod(root, 0700), 0); }},
      {"xattr",
       [&] {
         const UniqueFd fd(openat(root, "file", O_RDONLY | O_CLOEXEC));
         ASSERT_EQ(fsetxattr(fd.get(), "user.a", "b", 1, 0), 0);
       }},
      {"rename", [&] { ASSERT_EQ(renameat(root, "new", root, "newer"), 0); }},
      {"unlink", [&] { ASSERT_EQ(unlinkat(root, "newer", 0), 0); }},
      {"utimes", [&] { ASSERT_EQ(utimensat(root, "file", nullptr, 0), 0); }},
      {"punch",
       [&] {
         const UniqueFd fd(openat(root, "file", O_RDWR | O_CLOEXEC));
         ASSERT_EQ(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
       }},
  };
  for (const auto& [what, change] : changes) {
    const uint64_t before = backend_->ChangeMarker(last);
    EXPECT_EQ(backend_->ChangeMarker(live), before) << "before " << what;
    change();
    backend_->Sync(live);
    EXPECT_NE(backend_->ChangeMarker(live), before) << what;
    last = TakeSnapshot(live);
  }
}

TEST_P(BtrfsBackendTest, MarkerSurvivesReopening) {
  const VolumeId live = MakeVolume();
  WriteFileAt(backend_->Open(live)->root_fd(), "file", "content");
  TakeSnapshot(live);
  const uint64_t marker = backend_->ChangeMarker(live);
  backend_.reset();
  backend_ = OpenBackend(store_.get(), GetParam(), {});
  EXPECT_EQ(backend_->ChangeMarker(live), marker);
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
  EXPECT_EQ(space.total_bytes, kImageBytes);
  EXPECT_LT(space.used_bytes, 8 * kMiB);
  EXPECT_GT(space.free_bytes, 100 * kMiB);
  EXPECT_LE(space.free_bytes + space.used_bytes, space.total_bytes);
  backend_->RequireSpaceForNewVolume();
}

TEST_P(BtrfsBackendTest, FullDiskRefusesNewVolumesUntilSomethingIsDestroyed) {
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
  const Error error = ErrorOf([&] { backend_->RequireSpaceForNewVolume(); });
  EXPECT_EQ(error.errno_value(), ENOSPC);
  EXPECT_THAT(error.what(), HasSubstr("Delete snapshots"));
  ASSERT_TRUE(backend_->Destroy(live));
  backend_->RequireSpaceForNewVolume();  // waits for the cleaner
}

TEST_P(BtrfsBackendTest, ComparesVolumes) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  WriteFileAt(volume->root_fd(), "kept", "1");
  WriteFileAt(volume->root_fd(), "gone", "2");
  const VolumeId older = TakeSnapshot(live);
  ASSERT_EQ(unlinkat(volume->root_fd(), "gone", 0), 0);
  WriteFileAt(volume->root_fd(), "new", "3");
  const VolumeId newer = TakeSnapshot(live);
  std::vector<std::pair<ChangeKind, std::string>> changes;
  for (const Change& change : backend_->Changes(older, newer)) {
    changes.emplace_back(change.kind, change.path);
  }
  EXPECT_THAT(changes, testing::ElementsAre(std::pair(ChangeKind::kRemoved, "gone"),
                                            std::pair(ChangeKind::kAdded, "new")));
  EXPECT_EQ(ErrnoOf([&] { backend_->Changes(older, VolumeId::Generate()); }), ENOENT);
}

TEST_P(BtrfsBackendTest, ReadOnlyRefusesChangesAndStillReads) {
  const VolumeId live = MakeVolume();
  WriteFileAt(backend_->Open(live)->root_fd(), "file", "content");
  backend_->Sync(live);
  backend_.reset();
  backend_ = OpenBackend(store_.get(), GetParam(), {.read_only = true});
  EXPECT_EQ(ReadFileAt(backend_->Open(live)->root_fd(), "file"), "content");
  EXPECT_EQ(ErrnoOf([&] { TakeSnapshot(live); }), EROFS);
  EXPECT_EQ(ErrnoOf([&] { backend_->Destroy(live); }), EROFS);
  EXPECT_EQ(ErrnoOf([&] { MakeVolume(); }), EROFS);
  EXPECT_EQ(backend_->List().size(), 1u);
}

TEST_P(BtrfsBackendTest, NoAtimeIsTheVolumesOption) {
  const VolumeId live = MakeVolume();
  for (const bool no_atime : {false, true}) {
    backend_.reset();
    backend_ = OpenBackend(store_.get(), GetParam(), {.no_atime = no_atime});
    const auto volume = backend_->Open(live);
    WriteFileAt(volume->root_fd(), "file", "content");
    const timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    ASSERT_EQ(utimensat(volume->root_fd(), "file", times, 0), 0);
    EXPECT_EQ(ReadFileAt(volume->root_fd(), "file"), "content");
    struct stat stat {};
    ASSERT_EQ(fstatat(volume->root_fd(), "file", &stat, 0), 0);
    EXPECT_EQ(stat.st_atim.tv_sec == 1000, no_atime);
  }
}

TEST_P(BtrfsBackendTest, ManyThreadsAtOnce) {
  const VolumeId live = MakeVolume();
  WriteFileAt(backend_->Open(live)->root_fd(), "file", "content");
  std::atomic<int> failures = 0;
  {
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        try {
          for (int i = 0; i < 5; ++i) {
            const VolumeId snapshot = TakeSnapshot(live);
            const auto volume = backend_->Open(snapshot);
            if (ReadFileAt(volume->root_fd(), "file") != "content") ++failures;
            backend_->List();
            backend_->ListForeign();
            backend_->Space();
            backend_->Destroy(snapshot);
            backend_->WaitDurable();
          }
        } catch (const Error& error) {
          ADD_FAILURE() << error.what();
        }
      });
    }
  }
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(backend_->List().size(), 1u);
}

}  // namespace
}  // namespace ckptfs
