// On files made by hand; tests/integration/templates.sh has those that the kernel makes.
#include "backend/dm/cow_exceptions.h"

#include <endian.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "backend/base/error.h"
#include "backend/dm/cow_file.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

constexpr uint64_t kOffset = 4096;

class CowExceptionsTest : public testing::Test {
 protected:
  CowExceptionsTest() : file_(MakeCowFile(directory_.fd(), "cow", 16 << 20)) {}

  void Put(uint64_t offset, const void* data, size_t size) {
    ASSERT_EQ(pwrite(file_.get(), data, size, static_cast<off_t>(kOffset + offset)),
              static_cast<ssize_t>(size));
  }
  void PutHeader(uint32_t valid, uint32_t chunk_sectors = 8) {
    const std::array<uint32_t, 4> header = {htole32(0x70416e53), htole32(valid), htole32(1),
                                            htole32(chunk_sectors)};
    Put(0, header.data(), sizeof(header));
  }
  // The n-th exception, in the table that it belongs to.
  void PutException(uint64_t n, uint64_t old_chunk, uint64_t new_chunk) {
    const std::array<uint64_t, 2> exception = {htole64(old_chunk), htole64(new_chunk)};
    Put((1 + n / 256 * 257) * kCowChunkBytes + n % 256 * sizeof(exception), exception.data(),
        sizeof(exception));
  }
  std::vector<std::pair<uint64_t, uint64_t>> Found() {
    std::vector<std::pair<uint64_t, uint64_t>> found;
    ForEachCowException(file_.get(), kOffset, [&](const CowException& exception) {
      found.emplace_back(exception.base_chunk, exception.cow_chunk);
    });
    return found;
  }

  TestDirectory directory_;
  UniqueFd file_;
};

TEST_F(CowExceptionsTest, AFileThatWasNeverAttachedHasNone) {
  EXPECT_THAT(Found(), testing::IsEmpty());
  EXPECT_FALSE(RevalidateCow(file_.get(), kOffset));
}

TEST_F(CowExceptionsTest, AreFoundInAllTables) {
  PutHeader(1);
  std::vector<std::pair<uint64_t, uint64_t>> wanted;
  for (uint64_t n = 0; n < 600; ++n) {
    wanted.emplace_back(1000 - n, 2 + n);
    PutException(n, 1000 - n, 2 + n);
  }
  EXPECT_EQ(Found(), wanted);
}

TEST_F(CowExceptionsTest, OtherFilesAreRefused) {
  const auto error = [&] { return ErrorOf([&] { Found(); }).errno_value(); };
  PutHeader(1, 16);
  EXPECT_EQ(error(), EUCLEAN) << "other chunks";
  Put(0, "something else..", 16);
  EXPECT_EQ(error(), EUCLEAN);
  ASSERT_EQ(ftruncate(file_.get(), 10), 0);
  EXPECT_EQ(error(), EUCLEAN) << "cut short";
}

TEST_F(CowExceptionsTest, WhatTheKernelHasGivenUpIsUsedAgain) {
  PutHeader(0);
  PutException(0, 5, 2);
  EXPECT_TRUE(RevalidateCow(file_.get(), kOffset));
  EXPECT_FALSE(RevalidateCow(file_.get(), kOffset));
  EXPECT_THAT(Found(), testing::ElementsAre(std::pair<uint64_t, uint64_t>(5, 2)));
}

}  // namespace
}  // namespace ckptfs
