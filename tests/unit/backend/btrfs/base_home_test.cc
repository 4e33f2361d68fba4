#include "backend/btrfs/base_home.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backend/base/error.h"
#include "backend/base/units.h"
#include "backend/interface/backend.h"
#include "backend/registry.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

using ::testing::HasSubstr;

class BaseHomeTest : public testing::Test {
 protected:
  void SetUp() override {
    CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
    MakeFilesystem("a");
    host_ = Mount("a");
    OpenStore();
  }

  // An image file and a directory to mount it on.
  void MakeFilesystem(const std::string& name) {
    const std::string image = directory_.Path(name + ".img");
    const UniqueFd fd(open(image.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(ftruncate(fd.get(), 128 * kMiB), 0);
    ASSERT_EQ(
        std::system(
            ("PATH=$PATH:/usr/sbin:/sbin mkfs.btrfs -q " + image + " >/dev/null 2>&1").c_str()),
        0);
  }
  std::unique_ptr<TestMount> Mount(const std::string& name) {
    mkdir(directory_.Path("host").c_str(), 0700);
    return std::make_unique<TestMount>("btrfs", directory_.Path(name + ".img"),
                                       directory_.Path("host"));
  }
  void OpenStore() {
    mkdir(directory_.Path("host/store").c_str(), 0700);
    store_.Reset(open(directory_.Path("host/store").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(store_.valid());
  }
  void ForgetFilesystem() {
    const UniqueFd meta(openat(store_.get(), "meta", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(fremovexattr(meta.get(), "user.ckptfs.filesystem"), 0);
  }
  void Create() { CreateBackend(store_.get(), "btrfs-base", {}); }
  std::unique_ptr<Backend> Open() { return OpenBackend(store_.get(), "btrfs-base", {}); }

  TestDirectory directory_;
  std::unique_ptr<TestMount> host_;
  UniqueFd store_;
};

TEST_F(BaseHomeTest, DirectoriesAreRootsAlone) {
  EXPECT_EQ(DetectBackend(store_.get()), std::nullopt);
  Create();
  EXPECT_EQ(DetectBackend(store_.get()), "btrfs-base");
  struct stat stat {};
  for (const char* name : {"volumes", "meta"}) {
    ASSERT_EQ(fstatat(store_.get(), name, &stat, 0), 0);
    EXPECT_EQ(stat.st_mode, mode_t{S_IFDIR | 0700});
  }
  EXPECT_EQ(ErrorOf([&] { Create(); }).errno_value(), EEXIST);
  EXPECT_TRUE(Open()->ListForeign().empty());
}

TEST_F(BaseHomeTest, HasNoSize) {
  EXPECT_EQ(ErrorOf([&] {
              CreateBackend(store_.get(), "btrfs-base", {.size_bytes = 1 << 30});
            }).errno_value(),
            EINVAL);
  Create();
  EXPECT_EQ(ErrorOf([&] {
              OpenBackend(store_.get(), "btrfs-base", {.size_bytes = 1 << 30});
            }).errno_value(),
            EINVAL);
}

TEST_F(BaseHomeTest, AnotherFilesystemIsRefused) {
  Create();
  const VolumeId id = VolumeId::Generate();
  Open()->CreateEmpty(id);
  // The store's files copied to another filesystem: the directories are there, the volumes are not.
  store_.Reset();
  ASSERT_EQ(std::system(
                ("cp -a " + directory_.Path("host/store") + " " + directory_.Path("copy")).c_str()),
            0);
  host_.reset();
  MakeFilesystem("b");
  host_ = Mount("b");
  ASSERT_EQ(std::system(
                ("cp -a " + directory_.Path("copy") + " " + directory_.Path("host/store")).c_str()),
            0);
  OpenStore();
  const Error error = ErrorOf([&] { Open(); });
  EXPECT_EQ(error.errno_value(), EINVAL);
  EXPECT_THAT(error.what(), HasSubstr("made on btrfs filesystem"));
  EXPECT_EQ(DetectBackend(store_.get()), "btrfs-base");

  store_.Reset();
  host_.reset();
  host_ = Mount("a");
  OpenStore();
  EXPECT_EQ(Open()->List().size(), 1u);
}

TEST_F(BaseHomeTest, NotOnBtrfs) {
  Error error = ErrorOf([&] { CreateBackend(directory_.fd(), "btrfs-base", {}); });
  EXPECT_EQ(error.errno_value(), EINVAL);
  EXPECT_FALSE(ExistsAt(directory_.fd(), "volumes"));
  error = ErrorOf([&] { OpenBackend(directory_.fd(), "btrfs-base", {}); });
  EXPECT_EQ(error.errno_value(), EINVAL);
  EXPECT_THAT(error.what(), HasSubstr("does not lie on btrfs"));
}

TEST_F(BaseHomeTest, MissingPartsAreRefusedAndNotMade) {
  EXPECT_EQ(ErrorOf([&] { Open(); }).errno_value(), ENOENT);
  Create();
  ForgetFilesystem();
  Error error = ErrorOf([&] { Open(); });
  EXPECT_EQ(error.errno_value(), EINVAL);
  EXPECT_THAT(error.what(), HasSubstr("setfattr"));
  ASSERT_EQ(unlinkat(store_.get(), "volumes", AT_REMOVEDIR), 0);
  EXPECT_EQ(ErrorOf([&] { Open(); }).errno_value(), ENOENT);
  EXPECT_FALSE(ExistsAt(store_.get(), "volumes"));
}

TEST_F(BaseHomeTest, VolumesWithoutTheMarkAreNotStartedOver) {
  Create();
  Open()->CreateEmpty(VolumeId::Generate());
  ForgetFilesystem();
  EXPECT_EQ(DetectBackend(store_.get()), "btrfs-base");
  EXPECT_EQ(ErrorOf([&] { Create(); }).errno_value(), EEXIST);
}

TEST_F(BaseHomeTest, KilledCreationIsRepeated) {
  for (const char* point : {"base-create.after-volumes", "base-create.after-meta"}) {
    ASSERT_TRUE(CreateAndDieAt(point, directory_.Path("host/store"), "btrfs-base", 0)) << point;
    EXPECT_EQ(DetectBackend(store_.get()), std::nullopt) << point;
  }
  Create();
  Open()->CreateEmpty(VolumeId::Generate());
}

TEST_F(BaseHomeTest, ReadOnlyHost) {
  Create();
  const VolumeId id = VolumeId::Generate();
  Open()->CreateEmpty(id);
  ASSERT_EQ(mkdir(directory_.Path("seen").c_str(), 0700), 0);
  const TestMount view("none", directory_.Path("host"), directory_.Path("seen"), MS_BIND);
  ASSERT_EQ(mount("none", directory_.Path("seen").c_str(), nullptr,
                  MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr),
            0);
  const UniqueFd fd(
      open(directory_.Path("seen/store").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto backend = OpenBackend(fd.get(), "btrfs-base", {});
  EXPECT_EQ(backend->List().size(), 1u);
  EXPECT_EQ(ErrorOf([&] { backend->Snapshot(id, VolumeId::Generate()); }).errno_value(), EROFS);
}

TEST_F(BaseHomeTest, NothingMountedOverItIsSeen) {
  Create();
  const VolumeId id = VolumeId::Generate();
  Open()->CreateEmpty(id);
  const TestMount over("tmpfs", "tmpfs", directory_.Path("host/store/volumes"));
  EXPECT_EQ(Open()->Open(id)->id(), id);
}

}  // namespace
}  // namespace ckptfs
