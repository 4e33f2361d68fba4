#include "backend/dm/volume_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "backend/base/error.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

class VolumeFileTest : public testing::Test {
 protected:
  UniqueFd Make(const VolumeId& id) {
    return UniqueFd(CheckSyscall(openat(directory_.fd(), VolumeFileName(id).c_str(),
                                        O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
                                 "make a file"));
  }

  TestDirectory directory_;
};

TEST_F(VolumeFileTest, TheHeaderIsReadAsItWasWritten) {
  const VolumeId id = VolumeId::Generate();
  const UniqueFd file = Make(id);
  for (const bool flag : {false, true}) {
    const VolumeHeader header{
        .base = TemplateId::Generate(), .read_only = flag, .in_use = !flag, .marker = NewMarker()};
    WriteVolumeHeader(file.get(), header);
    EXPECT_EQ(ReadVolumeHeader(OpenVolumeFile(directory_.fd(), id, O_RDONLY).get()), header);
  }
  struct stat status {};
  ASSERT_EQ(fstat(file.get(), &status), 0);
  EXPECT_EQ(static_cast<uint64_t>(status.st_size), kVolumeHeaderBytes);
}

TEST_F(VolumeFileTest, WhatIsNoHeaderIsDamage) {
  const UniqueFd file = Make(VolumeId::Generate());
  const auto error = [&] { return ErrorOf([&] { ReadVolumeHeader(file.get()); }).errno_value(); };
  EXPECT_EQ(error(), EUCLEAN) << "an empty file";
  const std::string bad_base =
      R"({"format":"ckptfs volume 1","base":"x","read_only":true,"in_use":false,"marker":1})";
  const std::vector<std::string> texts = {"[]", R"({"format":"ckptfs volume 2"})", R"({"format":)",
                                          "\xff\xfe", bad_base};
  for (const std::string& text : texts) {
    ASSERT_EQ(ftruncate(file.get(), 0), 0);
    ASSERT_GT(pwrite(file.get(), text.data(), text.size(), 0), 0);
    EXPECT_EQ(error(), EUCLEAN) << text;
  }
}

TEST_F(VolumeFileTest, NamesAreThoseOfVolumes) {
  const VolumeId id = VolumeId::Generate();
  EXPECT_EQ(VolumeOfFile(VolumeFileName(id)), id);
  EXPECT_FALSE(VolumeOfFile(id.str()));
  EXPECT_FALSE(VolumeOfFile(id.str() + ".volume.partial"));
  EXPECT_FALSE(VolumeOfFile("note.volume"));
}

TEST_F(VolumeFileTest, OnlyRegularFilesAreOpened) {
  const VolumeId id = VolumeId::Generate();
  const auto error = [&] {
    return ErrorOf([&] { OpenVolumeFile(directory_.fd(), id, O_RDONLY); }).errno_value();
  };
  EXPECT_EQ(error(), ENOENT);
  ASSERT_EQ(symlinkat("/etc/passwd", directory_.fd(), VolumeFileName(id).c_str()), 0);
  EXPECT_EQ(error(), EUCLEAN);
  ASSERT_EQ(unlinkat(directory_.fd(), VolumeFileName(id).c_str(), 0), 0);
  ASSERT_EQ(mkfifoat(directory_.fd(), VolumeFileName(id).c_str(), 0600), 0);
  EXPECT_EQ(error(), EUCLEAN);
}

TEST(MarkerTest, AreNeverZeroAndFitTheCatalog) {
  for (int i = 0; i < 1000; ++i) {
    const uint64_t marker = NewMarker();
    EXPECT_NE(marker, 0u);
    EXPECT_LE(marker, static_cast<uint64_t>(INT64_MAX));
  }
}

}  // namespace
}  // namespace ckptfs
