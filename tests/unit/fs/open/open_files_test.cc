// What OpenFiles decides and counts. How the kernel takes it is what the tests on mounts are about.
#include "fs/open/open_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>

#include "backend/base/error.h"
#include "tests/unit/fs/open/counting_kernel.h"

namespace ckptfs {
namespace {

constexpr NodeId kNode = 1234;

class OpenFilesTest : public ::testing::Test {
 protected:
  static UniqueFd EmptyFile() { return UniqueFd(open("/tmp", O_TMPFILE | O_RDWR, 0600)); }

  OpenReply Open(const OpenWish& wish) {
    return files_.Open(kNode, wish, {.for_passthrough = EmptyFile, .for_daemon = EmptyFile});
  }

  CountingKernel kernel_;
  uint64_t descriptors_ = 100;
  DescriptorShares shares_{[this] { return descriptors_; }};
  InodeTable inodes_;
  OpenFiles files_{inodes_, kernel_, shares_};
};

constexpr OpenWish kRead{.may_use_page_cache = true};
constexpr OpenWish kWrite{.for_writing = true, .pid = 7};
constexpr OpenWish kAppend{.for_writing = true, .may_pass_through = false, .append_only = true};

TEST_F(OpenFilesTest, SmallFilesAreReadThroughThePageCacheAndKeptThere) {
  EXPECT_FALSE(Open(kRead).keeps_pages);
  files_.Release(kNode, 0);
  EXPECT_TRUE(Open(kRead).keeps_pages);
  EXPECT_EQ(kernel_.opened, 0);
}

// It was opened for writing, mapped and closed after the reader had looked.
TEST_F(OpenFilesTest, WhatMayBeMappedSinceIsNotCached) {
  files_.Release(kNode, Open(kWrite).handle);
  EXPECT_NE(inodes_.MaybeMapped(kNode), 0U);
  EXPECT_NE(Open(kRead).backing_id, 0);
}

TEST_F(OpenFilesTest, WhatNobodyWasToldOfIsNotMapped) {
  EXPECT_TRUE(files_.TakeBack(kNode, Open(kWrite).handle));
  EXPECT_FALSE(files_.IsOpen(kNode));
  EXPECT_EQ(inodes_.MaybeMapped(kNode), 0U);
  files_.Release(kNode, Open(kRead).handle);
  EXPECT_EQ(inodes_.MaybeMapped(kNode), 0U);
}

TEST_F(OpenFilesTest, ANewFileHasNoCapabilityUntilItMayHave) {
  OpenWish create = kWrite;
  create.is_new = true;
  Open(create);
  EXPECT_TRUE(files_.HasNoCapability(kNode));
  files_.MayHaveCapability(kNode);
  EXPECT_FALSE(files_.HasNoCapability(kNode));
}

TEST_F(OpenFilesTest, ABackingFileLivesFromTheFirstOpenToTheLastRelease) {
  const OpenReply writer = Open(kWrite);
  EXPECT_TRUE(writer.first_writer);
  EXPECT_EQ(Open(kRead).backing_id, writer.backing_id);
  EXPECT_TRUE(files_.Release(kNode, writer.handle));
  EXPECT_EQ(kernel_.closed, 0);
  EXPECT_FALSE(files_.Release(kNode, 0));
  EXPECT_EQ(kernel_.closed, 1);
  EXPECT_FALSE(files_.IsOpen(kNode));
}

TEST_F(OpenFilesTest, AppendOnlyFilesGoThroughTheDaemonWithoutPages) {
  const OpenReply writer = Open(kAppend);
  EXPECT_EQ(writer.backing_id, 0);
  EXPECT_TRUE(writer.uncached);
  EXPECT_TRUE(Open(kRead).uncached);
  EXPECT_EQ(kernel_.opened, 0);
}

TEST_F(OpenFilesTest, WhoHasTheFileOpenLastPaysForIt) {
  descriptors_ = 2;  // of which one user can have one
  OpenWish first = kRead;
  first.user = 1000;
  OpenWish second = kRead;
  second.user = 2000;
  const OpenReply opened = Open(first);
  EXPECT_FALSE(OpenFiles::IsOfWriter(opened.handle));
  Open(second);
  EXPECT_FALSE(shares_.Claim(1000).valid());
  files_.Release(kNode, opened.handle);
  EXPECT_TRUE(shares_.Claim(1000).valid());
  EXPECT_FALSE(shares_.Claim(2000).valid());
}

TEST_F(OpenFilesTest, AnOpenThatIsRefusedLeavesNothing) {
  descriptors_ = 0;
  EXPECT_THROW(Open(kWrite), Error);
  EXPECT_FALSE(files_.IsOpen(kNode));
  EXPECT_TRUE(files_.Nodes(SlotOf(kNode)).empty());
  descriptors_ = 1;
  const OpenReply opened = Open(kWrite);
  EXPECT_TRUE(OpenFiles::IsOfWriter(opened.handle));
  EXPECT_EQ(files_.Writers(SlotOf(kNode)).size(), 1);
  files_.Release(kNode, opened.handle);
  EXPECT_TRUE(shares_.Claim(1000).valid());
}

// Opened before it got the attribute; the release may be on its way.
TEST_F(OpenFilesTest, WhoMayOnlyAppendWritesByADescriptorOfItsOwn) {
  const OpenReply before = Open(kWrite);
  const OpenReply appends = Open(kAppend);
  EXPECT_EQ(appends.backing_id, 0);
  EXPECT_TRUE(appends.uncached);
  EXPECT_TRUE(files_.AppendFd(kNode, appends.handle));
  EXPECT_FALSE(files_.AppendFd(kNode, before.handle));
  EXPECT_EQ(Open(kWrite).backing_id, before.backing_id);
}

TEST_F(OpenFilesTest, EachWriterIsToldOnceThatWritesWereLost) {
  const OpenReply told = Open(kWrite);
  const OpenReply other = Open(kWrite);
  const OpenReply third = Open(kWrite);
  files_.NoteLostWrites(kNode, told.handle, EIO);
  EXPECT_EQ(files_.TakeLostWrites(kNode, told.handle), 0);
  EXPECT_EQ(files_.TakeLostWrites(kNode, other.handle), EIO);
  EXPECT_EQ(files_.TakeLostWrites(kNode, other.handle), 0);
  files_.Release(kNode, other.handle);
  EXPECT_EQ(files_.TakeLostWrites(kNode, third.handle), EIO);
  EXPECT_EQ(files_.TakeLostWrites(kNode, Open(kWrite).handle), 0);  // who comes later
}

// As whoever resolves a node of a snapshot that is being deleted does: with a lock held it would not end.
TEST_F(OpenFilesTest, WhoMakesADescriptorMayLookHere) {
  Open(kRead);
  files_.Release(kNode, 0);
  Open(kRead);  // kept in the kernel's pages: no descriptor yet
  ASSERT_FALSE(files_.DataFd(kNode));
  const auto given = files_.GiveFd(kNode, [this] {
    EXPECT_TRUE(files_.IsOpen(kNode));
    EXPECT_FALSE(files_.AnyFd(kNode));
    return EmptyFile();
  });
  EXPECT_TRUE(given);
  EXPECT_EQ(files_.DataFd(kNode), given);
  files_.Release(kNode, 0);
  EXPECT_FALSE(files_.GiveFd(kNode, EmptyFile)) << "it is open no longer";
}

TEST_F(OpenFilesTest, WhatADescriptorIsGivenForMayBeClosedMeanwhile) {
  Open(kRead);
  files_.Release(kNode, 0);
  Open(kRead);
  EXPECT_FALSE(files_.GiveFd(kNode, [this] {
    files_.Release(kNode, 0);
    return EmptyFile();
  }));
}

TEST_F(OpenFilesTest, KnowsWhatTheKernelHasReadSinceItDroppedItsPages) {
  constexpr OpenWish kThroughDaemon{.for_writing = true, .may_pass_through = false};
  Open(kThroughDaemon);
  EXPECT_FALSE(files_.TakePagesRead(kNode, 0));
  files_.NoteRead(kNode, 4096);
  EXPECT_FALSE(files_.TakePagesRead(kNode, 4096));
  EXPECT_TRUE(files_.TakePagesRead(kNode, 0));
  EXPECT_FALSE(files_.TakePagesRead(kNode, 0)) << "who asked has them dropped";
  files_.NoteRead(kNode, 4096);
  Open(kThroughDaemon);
  EXPECT_TRUE(files_.TakePagesRead(kNode, 0))
      << "the other writer may store to them before they go";
}

TEST_F(OpenFilesTest, PagesThatWereKeptMayHaveBeenReadWhole) {
  Open(kRead);
  files_.Release(kNode, 0);
  EXPECT_TRUE(Open(kRead).keeps_pages);
  EXPECT_TRUE(files_.TakePagesRead(kNode, 4096));
}

TEST_F(OpenFilesTest, LooksUnderneathOnlyWhereNobodyWrites) {
  int looks = 0;
  const auto look = [&looks] { return ++looks > 1; };
  EXPECT_FALSE(files_.HasWritersOr(kNode, look));
  EXPECT_TRUE(files_.HasWritersOr(kNode, look));
  Open(kWrite);
  EXPECT_TRUE(files_.HasWritersOr(kNode, look));
  EXPECT_EQ(looks, 2);
}

}  // namespace
}  // namespace ckptfs
