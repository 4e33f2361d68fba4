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
  const auto transaction = [&] {
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
      transaction();
    } catch (const Error& full) {
      error = full.errno_value();
    }
  }
  EXPECT_EQ(error, ENOSPC);
  EXPECT_EQ(catalog->ListWorkspaces().size(), static_cast<size_t>(made));
  ASSERT_TRUE(reserve.Release());
  transaction();
  EXPECT_EQ(catalog->ListWorkspaces().size(), static_cast<size_t>(made));
}

}  // namespace
}  // namespace ckptfs
