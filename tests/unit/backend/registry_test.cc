#include "backend/registry.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <fstream>

#include "backend/base/error.h"
#include "backend/dm/device_mapper.h"
#include "backend/interface/backend.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

int ErrnoOfChoosing(int fd, const std::string& requested) {
  return ErrorOf([&] { ChooseBackend(fd, requested); }).errno_value();
}

TEST(RegistryTest, KnowsItsTypes) {
  EXPECT_THAT(BackendTypes(), ElementsAre("btrfs-base", "btrfs-loop", "dm-snapshot", "dm-thin"));
  const TestDirectory directory;
  EXPECT_EQ(ErrnoOfChoosing(directory.fd(), "zfs"), EINVAL);
  EXPECT_EQ(ErrnoOfChoosing(directory.fd(), ""), EINVAL);
  EXPECT_THROW(OpenBackend(directory.fd(), "auto", {}), Error);
  EXPECT_THROW(CreateBackend(directory.fd(), "nothing", {}), Error);
}

TEST(RegistryTest, SaysWhyThereIsNoDeviceMapper) {
  const std::string obstacle = DmObstacle();
  if (obstacle.empty()) GTEST_SKIP() << "there is one";
  const TestDirectory directory;
  for (const char* type : {"dm-snapshot", "dm-thin"}) {
    const Error error = ErrorOf([&] { ChooseBackend(directory.fd(), type); });
    EXPECT_EQ(error.errno_value(), EINVAL);
    EXPECT_THAT(error.what(), HasSubstr(obstacle)) << type;
    EXPECT_THAT(error.what(), Not(HasSubstr("\n"))) << type;
  }
}

// Also where there is no device-mapper to open it with.
TEST(RegistryTest, KnowsAStoreOnDeviceMapper) {
  for (const char* type : {"dm-snapshot", "dm-thin"}) {
    const TestDirectory directory;
    std::ofstream(directory.Path(std::string(type) + ".json")) << "{}\n";
    EXPECT_EQ(DetectBackend(directory.fd()), type);
    const Error error = ErrorOf([&] { CreateBackend(directory.fd(), "btrfs-loop", {}); });
    EXPECT_EQ(error.errno_value(), EEXIST);
  }
}

TEST(RegistryTest, AutoIsALoopImageWhereThereIsNoBtrfs) {
  CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
  const TestDirectory directory;
  const TestMount disk("tmpfs", "tmpfs", directory.path());
  const UniqueFd fd(open(directory.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const BackendChoice choice = ChooseBackend(fd.get(), "auto");
  EXPECT_EQ(choice.type, "btrfs-loop");
  EXPECT_EQ(choice.selection, "auto: " + directory.path() + " is on tmpfs");
  EXPECT_EQ(ErrnoOfChoosing(fd.get(), "btrfs-base"), EINVAL);
  EXPECT_EQ(ChooseBackend(fd.get(), "btrfs-loop").type, "btrfs-loop");
}

TEST(RegistryTest, AutoIsTheDirectoryItselfOnBtrfs) {
  CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
  const TestDirectory directory;
  CreateBackend(directory.fd(), "btrfs-loop", {.size_bytes = uint64_t{128} << 20});
  ASSERT_EQ(mkdir(directory.Path("host").c_str(), 0700), 0);
  const TestMount host("btrfs", directory.Path("volumes.img"), directory.Path("host"));
  const UniqueFd fd(open(directory.Path("host").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const BackendChoice choice = ChooseBackend(fd.get(), "auto");
  EXPECT_EQ(choice.type, "btrfs-base");
  EXPECT_THAT(choice.selection, HasSubstr("is on btrfs"));
  EXPECT_THAT(ChooseBackend(fd.get(), "btrfs-loop").selection, HasSubstr("backend=btrfs-loop"));
}

TEST(RegistryTest, OneStoreHasOneBackend) {
  CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
  const TestDirectory directory;
  CreateBackend(directory.fd(), "btrfs-loop", {.size_bytes = uint64_t{128} << 20});
  for (const char* type : {"btrfs-loop", "btrfs-base"}) {
    try {
      CreateBackend(directory.fd(), type, {});
      FAIL() << type;
    } catch (const Error& error) {
      EXPECT_EQ(error.errno_value(), EEXIST);
      EXPECT_THAT(error.what(), HasSubstr("btrfs-loop already"));
    }
  }
}

}  // namespace
}  // namespace ckptfs
