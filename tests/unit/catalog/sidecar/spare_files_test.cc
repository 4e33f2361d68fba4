#include "catalog/sidecar/spare_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "catalog/sidecar/sidecar.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

class SpareFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "not root";
    mount_.emplace("tmpfs", "tmpfs", directory_.path(), 0, "size=1m");
    fd_.Reset(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(fd_.valid());
  }

  // Takes the last block, too.
  void FillDisk() {
    const UniqueFd file(openat(fd_.get(), "filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const std::string block(4096, 'x');
    while (write(file.get(), block.data(), block.size()) > 0) {
    }
    ASSERT_EQ(errno, ENOSPC);
  }
  static Sidecar OfNewVolume() {
    Sidecar sidecar;
    sidecar.volume = VolumeId::Generate();
    return sidecar;
  }
  // How many sidecars can be made before the disk refuses one.
  static int MakeAll(const MetaDirectory& meta) {
    for (int made = 0;; ++made) {
      const Error error = ErrorOf([&meta] { meta.Create(OfNewVolume()); });
      if (error.errno_value() == ENOSPC) return made;
      EXPECT_EQ(error.errno_value(), 0) << error.what();
      if (error.errno_value() != 0 || made > 1000) return -1;
    }
  }

  TestDirectory directory_;
  std::optional<TestMount> mount_;
  UniqueFd fd_;
};

TEST_F(SpareFilesTest, CanBeWrittenWhenTheDiskIsFull) {
  SpareFiles spares(fd_.get());
  FillDisk();
  const std::string content(SpareFiles::kBytes, 'y');
  int taken = 0;
  while (true) {
    const UniqueFd spare = spares.Take();
    if (!spare.valid()) break;
    EXPECT_EQ(write(spare.get(), content.data(), content.size()), ssize_t{SpareFiles::kBytes});
    const std::string name = "spare-" + std::to_string(taken++);
    EXPECT_EQ(linkat(spare.get(), "", fd_.get(), name.c_str(), AT_EMPTY_PATH), 0);
    EXPECT_EQ(ReadFileAt(fd_.get(), name), content);
  }
  EXPECT_GE(taken, 4);
  spares.Refill();
  EXPECT_FALSE(spares.Take().valid()) << "there is no space for another";
  ASSERT_EQ(unlinkat(fd_.get(), "filler", 0), 0);
  spares.Refill();
  EXPECT_TRUE(spares.Take().valid());
}

TEST_F(SpareFilesTest, WithoutThemAFullDiskTakesNoSidecar) {
  const MetaDirectory meta(fd_.get());
  FillDisk();
  EXPECT_EQ(MakeAll(meta), 0);
}

TEST_F(SpareFilesTest, SidecarsOnAFullDisk) {
  MetaDirectory meta(fd_.get());
  meta.KeepSpares();
  Sidecar sidecar = OfNewVolume();
  meta.Write(sidecar);
  FillDisk();
  for (uint64_t generation = 1; generation <= 100; ++generation) {
    sidecar.generation = generation;
    meta.Write(sidecar);  // each frees what the one before it took
    ASSERT_EQ(meta.Read(sidecar.volume)->generation, generation);
  }
  EXPECT_GE(MakeAll(meta), 4);
  EXPECT_EQ(meta.List().foreign, std::vector<std::string>{"filler"});
  EXPECT_TRUE(meta.List().leftovers.empty());
}

}  // namespace
}  // namespace ckptfs
