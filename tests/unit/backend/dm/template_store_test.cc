// Needs loop devices and ext4, no device-mapper.
#include "backend/dm/template_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/units.h"
#include "backend/dm/volume_file.h"
#include "backend/mount/mkfs.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

using testing::HasSubstr;

class TemplateStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
    for (const char* name : {"bases", "cow"}) ASSERT_EQ(mkdirat(directory_.fd(), name, 0700), 0);
    bases_.Reset(openat(directory_.fd(), "bases", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    cow_.Reset(openat(directory_.fd(), "cow", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    Reopen();
  }

  void Reopen() {
    store_.emplace(bases_.get(), cow_.get(), TemplateStore::Options{.default_size = 32 * kMiB});
  }

  TemplateInfo Add(const std::string& label, const std::string& content) {
    const auto pending = store_->Begin(label, "ext4", 32 * kMiB);
    WriteFileAt(pending->root_fd(), "file", content);
    return pending->Finish();
  }

  std::string ReadIn(const TemplateInfo& info) {
    const auto loop = store_->Attach(info.id);
    const UniqueFd root =
        ImageFilesystem::Named(info.filesystem)
            .Mount(loop->path(),
                   {.how = ImageMount::kSettled, .access_times = {.rule = AccessTimeRule::kNone}});
    return ReadFileAt(root.get(), "file");
  }

  std::string ImageOf(const TemplateInfo& info) {
    return directory_.Path("bases/" + info.id.str() + ".img");
  }

  TestDirectory directory_;
  UniqueFd bases_;
  UniqueFd cow_;
  std::optional<TemplateStore> store_;
};

TEST_F(TemplateStoreTest, WhatWasPutInIsThereAfterReopening) {
  const TemplateInfo info = Add("one", "content");
  EXPECT_EQ(info.filesystem, "ext4");
  EXPECT_EQ(info.size_bytes, 32 * kMiB);
  EXPECT_EQ(ReadIn(info), "content");
  EXPECT_EQ(store_->Labelled("one"), info.id);
  EXPECT_LT(store_->DiskBytes(info.id), 4 * kMiB);
  Reopen();
  EXPECT_THAT(store_->List(), testing::ElementsAre(info));
  EXPECT_EQ(ReadIn(info), "content");
  EXPECT_EQ(ErrorOf([&] { static_cast<void>(store_->Labelled("two")); }).errno_value(), ENOENT);
}

TEST_F(TemplateStoreTest, OneThatIsNotFinishedLeavesNothing) {
  store_->Begin("one", "ext4", 32 * kMiB).reset();
  EXPECT_THAT(store_->List(), testing::IsEmpty());
  EXPECT_THAT(ReadDirectory(bases_.get()), testing::IsEmpty());
  EXPECT_EQ(ErrorOf([&] { store_->Begin("x", "btrfs", 32 * kMiB); }).errno_value(), EINVAL);
  EXPECT_EQ(ErrorOf([&] { store_->Begin("x", "ext4", kMiB); }).errno_value(), EINVAL);
}

TEST_F(TemplateStoreTest, AllShareOneLoopDevice) {
  const TemplateInfo info = Add("one", "content");
  const auto first = store_->Attach(info.id);
  EXPECT_EQ(store_->Attach(info.id), first);
  EXPECT_EQ(store_->Attach(info.id).use_count(), 2);
}

TEST_F(TemplateStoreTest, AnotherContentIsRefusedAndAnotherFileIsNot) {
  const TemplateInfo info = Add("one", "content");
  const std::string image = ImageOf(info);
  CopySparse(image, image + ".copy");
  ASSERT_EQ(rename((image + ".copy").c_str(), image.c_str()), 0);
  Reopen();
  EXPECT_EQ(ReadIn(info), "content");

  const auto poke = [&](char byte) {
    const UniqueFd fd(open(image.c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(pwrite(fd.get(), &byte, 1, 20 * kMiB), 1);
  };
  poke('x');  // also noticed by one that had found it right before
  const Error error = ErrorOf([&] { store_->Verify(info.id); });
  EXPECT_EQ(error.errno_value(), EUCLEAN);
  EXPECT_THAT(error.what(),
              testing::AllOf(HasSubstr("its content"), HasSubstr("Put the image back")));
  EXPECT_EQ(ErrorOf([&] { store_->Attach(info.id); }).errno_value(), EUCLEAN);
  poke('\0');
  EXPECT_EQ(ReadIn(info), "content");
  ASSERT_EQ(truncate(image.c_str(), 31 * kMiB), 0);
  EXPECT_THAT(ErrorOf([&] { store_->Verify(info.id); }).what(), HasSubstr("bytes and had"));
  ASSERT_EQ(unlink(image.c_str()), 0);
  EXPECT_THAT(ErrorOf([&] { store_->Verify(info.id); }).what(), HasSubstr("is gone"));
}

TEST_F(TemplateStoreTest, WhatTheCatalogKnowsIsLaw) {
  TemplateInfo info = Add("one", "content");
  info.sha256[0] = info.sha256[0] == '0' ? '1' : '0';
  store_->Expect(info);
  EXPECT_EQ(ErrorOf([&] { store_->Verify(info.id); }).errno_value(), EUCLEAN);
  EXPECT_EQ(ErrorOf([&] { store_->Verify(TemplateId::Generate()); }).errno_value(), EIO);
}

TEST_F(TemplateStoreTest, OneThatIsNeededStays) {
  const TemplateInfo info = Add("one", "content");
  const VolumeId volume = VolumeId::Generate();
  {
    const UniqueFd file(
        openat(cow_.get(), VolumeFileName(volume).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    WriteVolumeHeader(file.get(), {.base = info.id});
  }
  EXPECT_EQ(store_->TemplateOf(volume), info.id);
  EXPECT_FALSE(store_->TemplateOf(VolumeId::Generate()));
  EXPECT_EQ(ErrorOf([&] { store_->Remove(info.id); }).errno_value(), EBUSY);
  EXPECT_EQ(ReadIn(info), "content");
  ASSERT_EQ(unlinkat(cow_.get(), VolumeFileName(volume).c_str(), 0), 0);
  EXPECT_TRUE(store_->Remove(info.id));
  EXPECT_FALSE(store_->Remove(info.id));
  EXPECT_THAT(ReadDirectory(bases_.get()), testing::IsEmpty());
}

TEST_F(TemplateStoreTest, ImagesAreCopiedAndLookedAt) {
  const UniqueFd image(openat(directory_.fd(), "image", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(ftruncate(image.get(), 32 * kMiB + 100), 0);
  EXPECT_THAT(ErrorOf([&] { store_->Import("none", image.get(), {}); }).what(),
              HasSubstr("neither ext4 nor xfs"));
  MakeExt4(image.get());
  const TemplateInfo info = store_->Import(
      "one", image.get(), [](int root_fd) { EXPECT_TRUE(ExistsAt(root_fd, "lost+found")); });
  EXPECT_EQ(info.size_bytes, 32 * kMiB + 4096);
  store_->Verify(info.id);
  EXPECT_THROW(store_->Import("refused", image.get(), [](int) { throw Error(EPERM, "refuse"); }),
               Error);
  EXPECT_EQ(store_->List().size(), 1u);
}

}  // namespace
}  // namespace ckptfs
