#include "fs/nodes/directory_fds.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "backend/base/error.h"
#include "tests/unit/catalog/store/store_fixture.h"

namespace ckptfs {
namespace {

class DirectoryFdsTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    Reopen();
    volume_ = store().backend().Open(MakeWorkspace("w").volume);
  }
  void TearDown() override {
    fds_.reset();
    volume_.reset();
    StoreTest::TearDown();
  }

  FileId MakeDirectory(const std::string& name) {
    CheckSyscall(mkdirat(volume_->root_fd(), name.c_str(), 0755), "make a directory");
    return volume_->Identify(volume_->root_fd(), name.c_str());
  }

  std::shared_ptr<Volume> volume_;
  std::optional<DirectoryFds> fds_{std::in_place};
};

TEST_F(DirectoryFdsTest, OneThatWasJustUsedIsUsedAgain) {
  const FileId one = MakeDirectory("one");
  const FileId two = MakeDirectory("two");
  const auto first = fds_->Open(volume_, one);
  EXPECT_EQ(fds_->Open(volume_, one), first);
  EXPECT_NE(fds_->Open(volume_, two), first);
  struct stat status {};
  ASSERT_EQ(fstat(first->get(), &status), 0);
  EXPECT_EQ(status.st_ino, one.inode);
}

TEST_F(DirectoryFdsTest, NoMoreThanSoManyAreKept) {
  std::weak_ptr<const UniqueFd> oldest = fds_->Open(volume_, MakeDirectory("oldest"));
  const FileId used = MakeDirectory("used");
  std::weak_ptr<const UniqueFd> in_use = fds_->Open(volume_, used);
  for (size_t i = 0; i < DirectoryFds::kMax; ++i) {
    EXPECT_FALSE(fds_->Open(volume_, used) == nullptr);
    fds_->Open(volume_, MakeDirectory(std::to_string(i)));
  }
  EXPECT_TRUE(oldest.expired());
  EXPECT_FALSE(in_use.expired()) << "the one used last goes last";
}

TEST_F(DirectoryFdsTest, WhatIsRemovedOrLetGoOfIsClosed) {
  const FileId gone = MakeDirectory("gone");
  std::weak_ptr<const UniqueFd> of_gone = fds_->Open(volume_, gone);
  std::weak_ptr<const UniqueFd> other = fds_->Open(volume_, MakeDirectory("other"));
  fds_->Drop(*volume_, gone.inode);
  EXPECT_TRUE(of_gone.expired());
  EXPECT_FALSE(other.expired());
  std::weak_ptr<Volume> volume = volume_;
  fds_->Drop(volume_->id());
  EXPECT_TRUE(other.expired());
  volume_.reset();
  EXPECT_TRUE(volume.expired()) << "nothing keeps the volume from being destroyed";
}

TEST_F(DirectoryFdsTest, IdleOnesGo) {
  std::weak_ptr<const UniqueFd> idle = fds_->Open(volume_, MakeDirectory("idle"));
  EXPECT_TRUE(fds_->DropIdle());
  EXPECT_FALSE(idle.expired());
  std::this_thread::sleep_for(DirectoryFds::kIdle + std::chrono::milliseconds(50));
  EXPECT_FALSE(fds_->DropIdle());
  EXPECT_TRUE(idle.expired());
}

TEST_F(DirectoryFdsTest, AFileWithTheNumberOfADirectoryIsStale) {
  const UniqueFd file(openat(volume_->root_fd(), "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  const FileId id = volume_->Identify(volume_->root_fd(), "file");
  EXPECT_EQ(ErrnoOf([&] { fds_->Open(volume_, id); }), ESTALE);
}

}  // namespace
}  // namespace ckptfs
