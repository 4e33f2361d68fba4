#include "catalog/store/reserve.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "backend/base/error.h"
#include "catalog/db/catalog_transaction.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

int64_t BytesHeld(int directory_fd) {
  struct stat status {};
  if (fstatat(directory_fd, SpaceReserve::kFileName, &status, 0) != 0) return -1;
  return int64_t{status.st_blocks} * 512;
}

TEST(SpaceReserve, IsHeldAndGivenUpOnce) {
  const TestDirectory directory;
  const SpaceReserve reserve(directory.fd());
  EXPECT_FALSE(reserve.Release());
  reserve.Make();
  EXPECT_GE(BytesHeld(directory.fd()), SpaceReserve::kBytes);
  reserve.Make();
  EXPECT_TRUE(reserve.Release());
  EXPECT_EQ(BytesHeld(directory.fd()), 0);
  EXPECT_FALSE(reserve.Release());
}

void FillDisk(int directory_fd) {
  const UniqueFd file(CheckSyscall(
      openat(directory_fd, "filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), "make filler"));
  const std::string block(4096, 'x');
  while (write(file.get(), block.data(), block.size()) > 0) {
  }
  EXPECT_EQ(errno, ENOSPC);
}

TEST(SpaceReserve, LetsTheCatalogGoOnWhenItsDiskIsFull) {
  CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
  const TestDirectory directory;
  std::filesystem::create_directory(directory.Path("disk"));
  const TestMount disk("tmpfs", "none", directory.Path("disk"), 0, "size=16m");
  const UniqueFd store(CheckSyscall(
      open(directory.Path("disk").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open"));
  const SpaceReserve reserve(store.get());
  reserve.Make();
  Catalog::Create(store.get(), Catalog::kFileName, {.uuid = Uuid::Generate()});
  const auto catalog = Catalog::Open(store.get(), Catalog::kFileName, CatalogCheck::kQuick);
  FillDisk(store.get());
  int made = 0;
  const auto make_one = [&] {
    Catalog::Transaction transaction(*catalog);
    transaction.Insert(WorkspaceRecord{.name = "w" + std::to_string(made),
                                       .volume = VolumeId::Generate(),
                                       .view = catalog->NextView(ViewUse::kWorkspace)});
    transaction.Commit();
    ++made;
  };
  int error = 0;
  while (error == 0 && made < 10000) {
    try {
      make_one();
    } catch (const Error& full) {
      error = full.errno_value();
    }
  }
  EXPECT_EQ(error, ENOSPC);
  EXPECT_EQ(catalog->ListWorkspaces().size(), static_cast<size_t>(made));
  ASSERT_TRUE(reserve.Release());
  make_one();
  EXPECT_EQ(catalog->ListWorkspaces().size(), static_cast<size_t>(made));
}

class ReserveAsLogTest : public testing::Test {
 protected:
  ReserveAsLogTest() {
    Catalog::Create(directory_.fd(), Catalog::kFileName, {.uuid = Uuid::Generate()});
  }
  std::unique_ptr<Catalog> Open() const {
    return Catalog::Open(directory_.fd(), Catalog::kFileName, CatalogCheck::kFull);
  }
  ino_t Inode(const char* name) const {
    struct stat status {};
    return fstatat(directory_.fd(), name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
  }
  static void Add(Catalog& catalog, const std::string& name) {
    Catalog::Transaction transaction(catalog);
    transaction.Insert(WorkspaceRecord{.name = name,
                                       .volume = VolumeId::Generate(),
                                       .view = catalog.NextView(ViewUse::kWorkspace)});
    transaction.Commit();
  }
  // Closes it with its WAL becoming the reserve.
  void Close(std::unique_ptr<Catalog> catalog) const {
    reserve_.HoldLog(Catalog::kLogName);
    catalog.reset();
    reserve_.TakeHeldLog(Catalog::kLogName);
  }

  const TestDirectory directory_;
  const SpaceReserve reserve_{directory_.fd()};
};

TEST_F(ReserveAsLogTest, TheBlocksGoFromTheReserveToTheLogAndBack) {
  ASSERT_TRUE(reserve_.Make());
  const ino_t inode = Inode(SpaceReserve::kFileName);
  for (int mount = 0; mount < 3; ++mount) {
    reserve_.BecomeLog(Catalog::kLogName);
    EXPECT_EQ(Inode(SpaceReserve::kFileName), 0);
    auto catalog = Open();
    EXPECT_EQ(catalog->ListWorkspaces().size(), static_cast<size_t>(mount));
    Add(*catalog, "w" + std::to_string(mount));
    EXPECT_EQ(Inode(Catalog::kLogName), inode);
    Close(std::move(catalog));
    EXPECT_EQ(Inode(Catalog::kLogName), 0);
    EXPECT_EQ(Inode(SpaceReserve::kFileName), inode);
    EXPECT_GE(BytesHeld(directory_.fd()), SpaceReserve::kBytes);
  }
}

TEST_F(ReserveAsLogTest, AnOldLogIsNeverReadAgain) {
  auto first = Open();
  Add(*first, "a");
  Close(std::move(first));
  ASSERT_NE(Inode(SpaceReserve::kFileName), 0);
  auto without_reserve = Open();
  Add(*without_reserve, "b");
  without_reserve.reset();
  reserve_.BecomeLog(Catalog::kLogName);
  EXPECT_EQ(Open()->ListWorkspaces().size(), 2);
}

TEST_F(ReserveAsLogTest, ALogInUseIsLeftAlone) {
  ASSERT_TRUE(reserve_.Make());
  const auto catalog = Open();
  Add(*catalog, "a");
  const ino_t log = Inode(Catalog::kLogName);
  reserve_.BecomeLog(Catalog::kLogName);
  EXPECT_EQ(Inode(Catalog::kLogName), log);
  ASSERT_TRUE(reserve_.Release());
  reserve_.HoldLog(Catalog::kLogName);
  reserve_.TakeHeldLog(Catalog::kLogName);
  EXPECT_EQ(Inode(Catalog::kLogName), log);
  EXPECT_EQ(Inode(SpaceReserve::kHeldLogName), 0);
  EXPECT_NE(Inode(SpaceReserve::kFileName), log);
  Add(*catalog, "b");
  EXPECT_EQ(catalog->ListWorkspaces().size(), 2);
}

TEST_F(ReserveAsLogTest, WhatAKilledUnmountHasHeldIsForgotten) {
  {
    const auto catalog = Open();
    Add(*catalog, "a");
    reserve_.HoldLog(Catalog::kLogName);
    ASSERT_NE(Inode(SpaceReserve::kHeldLogName), 0);
  }
  reserve_.BecomeLog(Catalog::kLogName);
  EXPECT_EQ(Inode(SpaceReserve::kHeldLogName), 0);
  EXPECT_EQ(Open()->ListWorkspaces().size(), 1);
}

}  // namespace
}  // namespace ckptfs
