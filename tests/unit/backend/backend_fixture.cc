#include "tests/unit/backend/backend_fixture.h"

#include <btrfsutil.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "backend/dm/device_mapper.h"
#include "backend/registry.h"

namespace ckptfs {

std::string BackendTest::NameOf(const testing::TestParamInfo<std::string>& tested) {
  if (tested.param == "btrfs-loop") return "Loop";
  if (tested.param == "btrfs-base") return "Base";
  return tested.param == "dm-thin" ? "DmThin" : "DmSnapshot";
}

void BackendTest::SetUp() {
  CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
  if (GetParam().starts_with("dm-")) {
    if (const std::string obstacle = DmObstacle(); !obstacle.empty()) GTEST_SKIP() << obstacle;
  }
  if (GetParam() == "btrfs-base") {
    MountHost();
    CreateBackend(store_.get(), GetParam(), {});
  } else {
    store_.Reset(openat(directory_.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CreateBackend(store_.get(), GetParam(), {.size_bytes = kTestStoreBytes});
  }
  Reopen({});
}

void BackendTest::TearDown() {
  backend_.reset();
  if (!DmObstacle().empty()) return;
  EXPECT_THAT(ListDmDevices("CKPTFS-"), testing::IsEmpty());
}

// A btrfs filesystem with the store in a subvolume's subdirectory.
void BackendTest::MountHost() {
  TestDirectory maker;
  CreateBackend(maker.fd(), "btrfs-loop", {.size_bytes = kTestStoreBytes});
  CopySparse(maker.Path("volumes.img"), directory_.Path("host.img"));
  ASSERT_EQ(mkdir(directory_.Path("host").c_str(), 0700), 0);
  host_ =
      std::make_unique<TestMount>("btrfs", directory_.Path("host.img"), directory_.Path("host"));
  ASSERT_EQ(btrfs_util_create_subvolume(directory_.Path("host/sub").c_str(), 0, nullptr, nullptr),
            BTRFS_UTIL_OK);
  ASSERT_EQ(mkdir(directory_.Path("host/sub/store").c_str(), 0700), 0);
  store_.Reset(open(directory_.Path("host/sub/store").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

void BackendTest::Reopen(const BackendOptions& options) {
  backend_.reset();
  backend_ = OpenBackend(store_.get(), GetParam(), options);
}

VolumeId BackendTest::MakeVolume() {
  VolumeId id = VolumeId::Generate();
  backend_->CreateEmpty(id);
  return id;
}

VolumeId BackendTest::TakeSnapshot(const VolumeId& source) {
  VolumeId id = VolumeId::Generate();
  backend_->Snapshot(source, id);
  return id;
}

}  // namespace ckptfs
