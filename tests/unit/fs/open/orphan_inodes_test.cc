// What the records say of orphans. How their files fare is what the tests on mounts are about.
#include "fs/open/orphan_inodes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>

#include "fs/nodes/attributes.h"
#include "fs/open/open_files.h"
#include "tests/unit/backend/test_store.h"
#include "tests/unit/fs/open/counting_kernel.h"

namespace ckptfs {
namespace {

constexpr Slot kOrphanSlot = 3;
constexpr NodeId kOrphan = NodeId{kOrphanSlot} << kInodeBits | 1234;

class OrphanInodesTest : public ::testing::Test {
 protected:
  static UniqueFd EmptyFile() { return UniqueFd(open("/tmp", O_TMPFILE | O_RDWR, 0600)); }

  OpenReply Open() {
    return files_.Open(kOrphan, {}, {.for_passthrough = EmptyFile, .for_daemon = EmptyFile});
  }
  // Returns the number of a descriptor that is kept.
  int NameGone() {
    UniqueFd fd = EmptyFile();
    const int number = fd.get();
    orphans_.NameGone(kOrphan, std::move(fd), shares_.Claim(1000),
                      {.directory = {}, .name = "gone"});
    return number;
  }
  static bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

  CountingKernel kernel_;
  DescriptorShares shares_{[] { return 2; }};  // of which one user can have one
  InodeTable inodes_;
  OpenFiles files_{inodes_, kernel_, shares_};
  OrphanInodes orphans_{inodes_};
  std::shared_ptr<View> view_ = std::make_shared<View>();
};

TEST_F(OrphanInodesTest, WhatLosesItsNameIsKeptUntilTheKernelForgetsIt) {
  const int fd = NameGone();
  EXPECT_TRUE(IsOpen(fd));
  EXPECT_FALSE(shares_.Claim(1000).valid());
  EXPECT_FALSE(orphans_.Contains(kOrphan)) << "nobody has it open";
  orphans_.Forget(kOrphan, view_);
  EXPECT_FALSE(IsOpen(fd));
  EXPECT_TRUE(shares_.Claim(1000).valid());
  EXPECT_FALSE(inodes_.has_nameless());
}

TEST_F(OrphanInodesTest, AndEndsWithItsView) {
  const int fd = NameGone();
  inodes_.ForgetSlot(kOrphanSlot);
  EXPECT_FALSE(IsOpen(fd));
  EXPECT_TRUE(shares_.Claim(1000).valid());
}

// Whichever comes first.
TEST_F(OrphanInodesTest, WhatIsOpenedWithoutANameACheckpointHasToHave) {
  const int fd = NameGone();
  const OpenReply opened = Open();
  EXPECT_TRUE(orphans_.Contains(kOrphan));
  EXPECT_EQ(inodes_.WithoutLink(kOrphanSlot).size(), 1U);
  orphans_.Forget(kOrphan, view_);  // one lookup of several
  EXPECT_FALSE(IsOpen(fd));
  EXPECT_TRUE(orphans_.Contains(kOrphan));
  files_.Release(kOrphan, opened.handle);
  EXPECT_TRUE(orphans_.Contains(kOrphan)) << "it may be mapped";
}

TEST_F(OrphanInodesTest, WhatLosesItsNameWhileItIsOpenACheckpointHasToHave) {
  Open();
  NameGone();
  EXPECT_TRUE(orphans_.Contains(kOrphan));
  EXPECT_FALSE(orphans_.HasLink(kOrphan));
}

// A number that was given anew before the kernel had forgotten the file that had it.
TEST_F(OrphanInodesTest, ANewFileIsNoOrphan) {
  NameGone();
  files_.Open(kOrphan, {.for_writing = true, .is_new = true},
              {.for_passthrough = EmptyFile, .for_daemon = EmptyFile});
  EXPECT_FALSE(orphans_.Contains(kOrphan));
}

TEST_F(OrphanInodesTest, NobodySeesTheLinkWhileItChanges) {
  const TestDirectory directory;
  const UniqueFd file(openat(directory.fd(), "file", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  ASSERT_EQ(linkat(directory.fd(), "file", directory.fd(), "link", 0), 0);
  auto change = std::make_unique<LinkChange>(inodes_, kOrphan);
  auto seen =
      std::async(std::launch::async, [&] { return orphans_.Stat(kOrphan, file.get()).stx_nlink; });
  EXPECT_EQ(seen.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  change->SetLinked();
  EXPECT_TRUE(orphans_.HasLink(kOrphan)) << "which asks for no attributes";
  change.reset();
  EXPECT_EQ(seen.get(), 1U);
  EXPECT_EQ(StatxAt(file.get(), "").stx_nlink, 2U);
}

TEST_F(OrphanInodesTest, ChangesOfOneInodeWaitForEachOther) {
  auto change = std::make_unique<LinkChange>(inodes_, kOrphan);
  const LinkChange of_another(inodes_, kOrphan + 16);  // of the same shard
  auto second = std::async(std::launch::async, [&] { return LinkChange(inodes_, kOrphan).link(); });
  EXPECT_EQ(second.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  change->SetLinked();
  change.reset();
  EXPECT_EQ(second.get(), Orphan::Link::kThere);
}

}  // namespace
}  // namespace ckptfs
