#include "backend/btrfs/loop_home.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backend/base/error.h"
#include "backend/base/units.h"
#include "backend/base/write_out.h"
#include "backend/interface/backend.h"
#include "backend/mount/disk_space.h"
#include "backend/mount/loop_device.h"
#include "backend/registry.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const BackendOptions kSmall = {.size_bytes = 128 * kMiB};

class LoopHomeTest : public testing::Test {
 protected:
  void SetUp() override { CKPTFS_SKIP_WITHOUT_LOOP_DEVICES(); }

  void Create(const BackendOptions& options = kSmall) {
    CreateBackend(store_.fd(), "btrfs-loop", options);
  }
  std::unique_ptr<Backend> Open(const BackendOptions& options = {}) {
    return OpenBackend(store_.fd(), "btrfs-loop", options);
  }
  // The error of an opening; everything must be as before it.
  Error OpenError(const BackendOptions& options = {}) {
    return ErrorOf([&] { Open(options); });
  }
  uint64_t ImageBytes() {
    struct stat stat {};
    EXPECT_EQ(fstatat(store_.fd(), "volumes.img", &stat, 0), 0);
    return static_cast<uint64_t>(stat.st_size);
  }
  UniqueFd OpenImage(int flags = O_RDWR) {
    return UniqueFd(openat(store_.fd(), "volumes.img", flags | O_CLOEXEC));
  }

  TestDirectory store_;
};

TEST_F(LoopHomeTest, ImageIsSparseAndPrivate) {
  EXPECT_EQ(DetectBackend(store_.fd()), std::nullopt);
  Create();
  EXPECT_EQ(DetectBackend(store_.fd()), "btrfs-loop");
  struct stat stat {};
  ASSERT_EQ(fstatat(store_.fd(), "volumes.img", &stat, 0), 0);
  EXPECT_EQ(stat.st_size, static_cast<off_t>(128 * kMiB));
  EXPECT_LT(stat.st_blocks * 512, static_cast<off_t>(16 * kMiB));
  EXPECT_EQ(stat.st_mode & 07777, 0600u);
  EXPECT_FALSE(ExistsAt(store_.fd(), "volumes.img.partial"));
  EXPECT_EQ(ErrorOf([&] { Create(); }).errno_value(), EEXIST);
}

TEST_F(LoopHomeTest, DefaultSizeFollowsTheDisk) {
  Create({});
  struct statvfs host {};
  ASSERT_EQ(fstatvfs(store_.fd(), &host), 0);
  const uint64_t share = host.f_blocks * host.f_frsize / 100 * 40;
  EXPECT_EQ(ImageBytes(), std::min(uint64_t{30} << 30, share / 4096 * 4096));
}

TEST_F(LoopHomeTest, SizesAreChecked) {
  const Error error = ErrorOf([&] { Create({.size_bytes = 64 * kMiB}); });
  EXPECT_EQ(error.errno_value(), EINVAL);
  EXPECT_THAT(error.what(), HasSubstr("109 MiB"));
  EXPECT_EQ(DetectBackend(store_.fd()), std::nullopt);
  Create({.size_bytes = kMinImageBytes});
  Open()->CreateEmpty(VolumeId::Generate());
}

TEST_F(LoopHomeTest, OddSizesAreRoundedAndStayTheSame) {
  const BackendOptions odd = {.size_bytes = 128 * kMiB + 1};
  Create(odd);
  EXPECT_EQ(ImageBytes(), 128 * kMiB);
  Open(odd);
}

TEST_F(LoopHomeTest, DebrisOfACrashedCreationIsCleared) {
  WriteFileAt(store_.fd(), "volumes.img.partial", "half of an image");
  EXPECT_EQ(DetectBackend(store_.fd()), std::nullopt);
  Create();
  EXPECT_FALSE(ExistsAt(store_.fd(), "volumes.img.partial"));
  Open()->CreateEmpty(VolumeId::Generate());
}

TEST_F(LoopHomeTest, FullDiskLeavesNothingBehind) {
  const TestMount disk("tmpfs", "tmpfs", store_.path(), 0, "size=18m");
  const UniqueFd fd(open(store_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  WriteFileAt(fd.get(), "filler", std::string(4 * kMiB, 'x'));
  const Error error = ErrorOf([&] { CreateBackend(fd.get(), "btrfs-loop", kSmall); });
  EXPECT_EQ(error.errno_value(), ENOSPC);
  EXPECT_FALSE(ExistsAt(fd.get(), "volumes.img"));
  EXPECT_FALSE(ExistsAt(fd.get(), "volumes.img.partial"));
  EXPECT_EQ(ErrorOf([&] { CreateBackend(fd.get(), "btrfs-loop", {}); }).errno_value(), ENOSPC);
}

TEST_F(LoopHomeTest, WorksOnTmpfs) {
  const TestMount disk("tmpfs", "tmpfs", store_.path(), 0, "size=200m");
  const UniqueFd fd(open(store_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CreateBackend(fd.get(), "btrfs-loop", kSmall);
  const auto backend = OpenBackend(fd.get(), "btrfs-loop", {});
  const VolumeId id = VolumeId::Generate();
  backend->CreateEmpty(id);
  WriteFileAt(backend->Open(id)->root_fd(), "file", "content");
  backend->Snapshot(id, VolumeId::Generate());
  // An image cannot take more than its disk has.
  EXPECT_LE(backend->Space().free_bytes, 200 * kMiB);
}

TEST_F(LoopHomeTest, FreeSpaceIsThatOfTheDiskBelow) {
  const TestMount disk("tmpfs", "tmpfs", store_.path(), 0, "size=256m");
  const UniqueFd fd(open(store_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CreateBackend(fd.get(), "btrfs-loop", {.size_bytes = 1024 * kMiB});
  const auto backend = OpenBackend(fd.get(), "btrfs-loop", {});
  EXPECT_LE(backend->Space().free_bytes, 256 * kMiB);
  const auto below = [&backend] { return backend->SpaceLevels().back(); };
  EXPECT_EQ(below().name, "the disk of the store's image");
  EXPECT_TRUE(below().is_overcommitted);
  EXPECT_GT(below().free_bytes, 100 * kMiB);
  struct statvfs host {};
  ASSERT_EQ(fstatvfs(fd.get(), &host), 0);
  WriteFileAt(fd.get(), "filler", std::string(host.f_bavail * host.f_frsize, 'x'));
  // What others take of that disk is found out a moment later.
  for (int i = 0; i < 500 && below().free_bytes > FreeSpaceFloor(below().total_bytes); ++i) {
    usleep(10'000);
  }
  EXPECT_LT(below().free_bytes, FreeSpaceFloor(below().total_bytes));
  for (const SpaceLevel& level : backend->SpaceLevels()) {
    EXPECT_THAT(level.remedy, Not(HasSubstr("size="))) << "which would take more of that disk";
  }
  ASSERT_EQ(unlinkat(fd.get(), "filler", 0), 0);
}

TEST_F(LoopHomeTest, MissingImageIsRefused) {
  const Error error = OpenError();
  EXPECT_EQ(error.errno_value(), ENOENT);
  EXPECT_THAT(error.what(), HasSubstr("missing"));
  EXPECT_FALSE(ExistsAt(store_.fd(), "volumes.img"));
}

TEST_F(LoopHomeTest, ThingsThatAreNoImageAreRefused) {
  ASSERT_EQ(mkdirat(store_.fd(), "volumes.img", 0700), 0);
  EXPECT_EQ(OpenError().errno_value(), EINVAL);
  EXPECT_EQ(ErrorOf([&] { Create(); }).errno_value(), EEXIST);
  ASSERT_EQ(unlinkat(store_.fd(), "volumes.img", AT_REMOVEDIR), 0);
  ASSERT_EQ(symlinkat("/dev/null", store_.fd(), "volumes.img"), 0);
  EXPECT_EQ(OpenError().errno_value(), EINVAL);
  ASSERT_EQ(unlinkat(store_.fd(), "volumes.img", 0), 0);
  ASSERT_EQ(mkfifoat(store_.fd(), "volumes.img", 0600), 0);
  EXPECT_EQ(OpenError().errno_value(), EINVAL);
}

TEST_F(LoopHomeTest, CutShortImageIsRefused) {
  Create();
  ASSERT_EQ(ftruncate(OpenImage().get(), 100 * kMiB), 0);
  Error error = OpenError();
  EXPECT_EQ(error.errno_value(), EINVAL);
  EXPECT_THAT(error.what(), HasSubstr("cut short"));
  ASSERT_EQ(ftruncate(OpenImage().get(), 0), 0);
  error = OpenError();
  EXPECT_THAT(error.what(), HasSubstr("cut short"));
}

TEST_F(LoopHomeTest, AnotherFilesystemIsRefused) {
  WriteFileAt(store_.fd(), "volumes.img", "");
  ASSERT_EQ(ftruncate(OpenImage().get(), 128 * kMiB), 0);
  EXPECT_THAT(OpenError().what(), HasSubstr("no btrfs filesystem"));
  // A btrfs filesystem, but nobody's store.
  const std::string path = store_.Path("volumes.img");
  ASSERT_EQ(
      std::system(
          ("PATH=$PATH:/usr/sbin:/sbin mkfs.btrfs -q -f " + path + " >/dev/null 2>&1").c_str()),
      0);
  const Error error = OpenError();
  EXPECT_EQ(error.errno_value(), ENOENT);
  EXPECT_THAT(error.what(), HasSubstr("volumes/"));
  EXPECT_EQ(WaitUntilDetached(OpenImage().get()), std::nullopt);
}

TEST_F(LoopHomeTest, DamagedImageIsRefusedWithTheKernelsReason) {
  Create();
  {
    const std::string zeros(kMiB, '\0');
    const UniqueFd image = OpenImage();
    // All but the superblock and its copy.
    for (off_t at = static_cast<off_t>(kMiB); at < static_cast<off_t>(60 * kMiB);
         at += static_cast<off_t>(kMiB)) {
      ASSERT_GT(pwrite(image.get(), zeros.data(), zeros.size(), at), 0);
    }
  }
  const Error error = OpenError();
  EXPECT_NE(error.errno_value(), 0);
  EXPECT_THAT(error.what(), HasSubstr("mount volumes.img"));
  EXPECT_EQ(WaitUntilDetached(OpenImage().get()), std::nullopt);
}

TEST_F(LoopHomeTest, AttachedImageIsRefused) {
  Create();
  const UniqueFd image = OpenImage();
  const LoopDevice other(image.get(), {.name = "volumes.img"});
  const Error error = OpenError();
  EXPECT_EQ(error.errno_value(), EBUSY);
  EXPECT_THAT(error.what(), HasSubstr(other.path()));
}

TEST_F(LoopHomeTest, Grows) {
  Create();
  const uint64_t before = Open()->Space().total_bytes;
  EXPECT_EQ(before, 128 * kMiB);
  {
    const auto backend = Open({.size_bytes = 300 * kMiB});
    EXPECT_EQ(backend->Space().total_bytes, 300 * kMiB);
    EXPECT_EQ(ImageBytes(), 300 * kMiB);
  }
  Open({.size_bytes = 300 * kMiB});
  const Error error = OpenError({.size_bytes = 200 * kMiB});
  EXPECT_EQ(error.errno_value(), EINVAL);
  EXPECT_THAT(error.what(), HasSubstr("never shrunk"));
  EXPECT_EQ(Open()->Space().total_bytes, 300 * kMiB);
}

TEST_F(LoopHomeTest, InterruptedGrowthIsCompleted) {
  Create();
  ASSERT_EQ(ftruncate(OpenImage().get(), 300 * kMiB), 0);
  EXPECT_EQ(Open()->Space().total_bytes, 128 * kMiB);
  EXPECT_EQ(Open({.size_bytes = 300 * kMiB})->Space().total_bytes, 300 * kMiB);
}

TEST_F(LoopHomeTest, ReadOnlyStore) {
  Create();
  const VolumeId id = VolumeId::Generate();
  Open()->CreateEmpty(id);
  EXPECT_EQ(OpenError({.size_bytes = 300 * kMiB, .read_only = true}).errno_value(), EROFS);
  ASSERT_EQ(mkdir(store_.Path("seen").c_str(), 0700), 0);
  const TestMount view("none", store_.path(), store_.Path("seen"), MS_BIND);
  ASSERT_EQ(mount("none", store_.Path("seen").c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY,
                  nullptr),
            0);
  const UniqueFd fd(open(store_.Path("seen").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto backend = OpenBackend(fd.get(), "btrfs-loop", {});
  EXPECT_EQ(backend->List().size(), 1u);
  EXPECT_EQ(ErrorOf([&] { backend->Snapshot(id, VolumeId::Generate()); }).errno_value(), EROFS);
}

TEST_F(LoopHomeTest, NothingRemainsOfAKilledProcess) {
  Create();
  const VolumeId id = VolumeId::Generate();
  ASSERT_TRUE(RunAndKill([&] {
    static const auto backend = Open();
    backend->CreateEmpty(id);
    static const auto volume = backend->Open(id);
    WriteFileAt(volume->root_fd(), "file", "content");
    backend->Snapshot(id, VolumeId::Generate());
  }));
  EXPECT_EQ(WaitUntilDetached(OpenImage().get()), std::nullopt);
  EXPECT_EQ(ReadFileAt(Open()->Open(id)->root_fd(), "file"), "content");
  EXPECT_EQ(Open()->List().size(), 2u);
}

TEST_F(LoopHomeTest, KilledCreationIsRepeated) {
  for (const char* point : {"image-create.after-open", "image-create.after-mkfs",
                            "image-create.after-directories", "image-create.before-rename"}) {
    ASSERT_TRUE(CreateAndDieAt(point, store_.path(), "btrfs-loop", *kSmall.size_bytes)) << point;
    EXPECT_EQ(DetectBackend(store_.fd()), std::nullopt) << point;
  }
  Create();
  Open()->CreateEmpty(VolumeId::Generate());
}

// What a power cut leaves: with direct I/O, the file holds what the device was told to write. The
// copy is the disk after the cut.
class PowerCutTest : public LoopHomeTest {
 protected:
  std::unique_ptr<Backend> Cut() {
    CopySparse(store_.Path("volumes.img"), after_.Path("volumes.img"));
    backend_.reset();
    return OpenBackend(after_.fd(), "btrfs-loop", {});
  }

  void SetUp() override {
    LoopHomeTest::SetUp();
    if (IsSkipped()) return;
    Create();
    backend_ = Open();
    backend_->CreateEmpty(live_);
  }

  TestDirectory after_;
  std::unique_ptr<Backend> backend_;
  const VolumeId live_ = VolumeId::Generate();
  const VolumeId snapshot_ = VolumeId::Generate();
};

// Small enough for btrfs to keep it in its tree, and too large for that.
TEST_F(PowerCutTest, SidecarsAreDurableWithTheSnapshot) {
  const std::string small = R"({"name": "small"})";
  const std::string large(20000, 'x');
  for (const auto& [name, content] : {std::pair("small.tmp", small), {"large.tmp", large}}) {
    WriteFileAt(backend_->meta_fd(), name, content);
    const UniqueFd fd(openat(backend_->meta_fd(), name, O_RDWR | O_CLOEXEC));
    ASSERT_EQ(fsetxattr(fd.get(), "user.pinned", "1", 1, 0), 0);
    WriteOutData(fd.get());
  }
  ASSERT_EQ(renameat(backend_->meta_fd(), "small.tmp", backend_->meta_fd(), "small.json"), 0);
  ASSERT_EQ(renameat(backend_->meta_fd(), "large.tmp", backend_->meta_fd(), "large.json"), 0);
  WriteFileAt(backend_->Open(live_)->root_fd(), "file", "content");
  backend_->Snapshot(live_, snapshot_);

  const auto after = Cut();
  EXPECT_EQ(ReadFileAt(after->meta_fd(), "small.json"), small);
  EXPECT_EQ(ReadFileAt(after->meta_fd(), "large.json"), large);
  const UniqueFd fd(openat(after->meta_fd(), "large.json", O_RDONLY | O_CLOEXEC));
  char pinned = 0;
  EXPECT_EQ(fgetxattr(fd.get(), "user.pinned", &pinned, 1), 1);
  EXPECT_EQ(ReadFileAt(after->Open(snapshot_)->root_fd(), "file"), "content");
  EXPECT_EQ(ReadFileAt(after->Open(live_)->root_fd(), "file"), "content");
}

TEST_F(PowerCutTest, WithoutWriteOutASidecarIsLost) {
  WriteFileAt(backend_->meta_fd(), "lost.json", "{}");
  backend_->Snapshot(live_, snapshot_);
  const auto after = Cut();
  EXPECT_EQ(ReadFileAt(after->meta_fd(), "lost.json"), "");
}

TEST_F(PowerCutTest, CreatedClonedAndSealedVolumesStay) {
  WriteFileAt(backend_->Open(live_)->root_fd(), "file", "content");
  backend_->Snapshot(live_, snapshot_);
  const VolumeId clone = VolumeId::Generate();
  const VolumeId sealed = VolumeId::Generate();
  backend_->CreateEmpty(sealed);
  WriteFileAt(backend_->Open(sealed)->root_fd(), "file", "sealed");
  backend_->Seal(sealed);
  backend_->Clone(snapshot_, clone);
  const auto after = Cut();
  EXPECT_EQ(ReadFileAt(after->Open(clone)->root_fd(), "file"), "content");
  EXPECT_EQ(ReadFileAt(after->Open(sealed)->root_fd(), "file"), "sealed");
  size_t read_only = 0;
  for (const VolumeListing& volume : after->List()) read_only += volume.read_only ? 1 : 0;
  EXPECT_EQ(read_only, 2u);
}

TEST_F(PowerCutTest, NewVolumeStaysWithItsMode) {
  const mode_t umask_before = umask(077);
  backend_->CreateEmpty(snapshot_);
  umask(umask_before);
  struct stat stat {};
  const auto after = Cut();
  ASSERT_EQ(fstat(after->Open(snapshot_)->root_fd(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0755u);
}

TEST_F(PowerCutTest, DestroyIsUndoneUntilWaitDestroyed) {
  backend_->Snapshot(live_, snapshot_);
  backend_->Destroy(snapshot_);
  CopySparse(store_.Path("volumes.img"), after_.Path("early.img"));
  backend_->WaitDestroyed();
  EXPECT_EQ(Cut()->List().size(), 1u);
  ASSERT_EQ(renameat(after_.fd(), "early.img", after_.fd(), "volumes.img"), 0);
  const auto early = OpenBackend(after_.fd(), "btrfs-loop", {});
  EXPECT_EQ(early->List().size(), 2u);
  EXPECT_TRUE(early->Destroy(snapshot_));
}

TEST_F(PowerCutTest, ReadOnlyOpeningAfterwardsWorks) {
  const auto volume = backend_->Open(live_);
  WriteFileAt(volume->root_fd(), "file", "logged");
  const UniqueFd fd(openat(volume->root_fd(), "file", O_RDWR | O_CLOEXEC));
  ASSERT_EQ(fsync(fd.get()), 0);  // in the log, which only a writable mount plays back
  CopySparse(store_.Path("volumes.img"), after_.Path("volumes.img"));
  backend_.reset();
  EXPECT_EQ(OpenBackend(after_.fd(), "btrfs-loop", {.read_only = true})->List().size(), 1u);
  const auto writable = OpenBackend(after_.fd(), "btrfs-loop", {});
  EXPECT_EQ(ReadFileAt(writable->Open(live_)->root_fd(), "file"), "logged");
}

}  // namespace
}  // namespace ckptfs
