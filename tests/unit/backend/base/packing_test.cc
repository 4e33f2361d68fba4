#include "backend/base/packing.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

TEST(PackingTest, WhatIsPutInComesOutInThatOrder) {
  using std::string_literals::operator""s;
  const std::string odd = "with a \0 in it"s;
  Packer packer;
  packer.Number(0).Text("").Text(odd).Number(UINT64_MAX);
  Unpacker unpacker(packer.bytes());
  EXPECT_EQ(unpacker.Number(), 0U);
  EXPECT_EQ(unpacker.Text(), "");
  EXPECT_EQ(unpacker.Text(), odd);
  EXPECT_FALSE(unpacker.empty());
  EXPECT_EQ(unpacker.Number(), UINT64_MAX);
  EXPECT_TRUE(unpacker.empty());
}

TEST(PackingTest, AMessageThatIsCutShortIsBad) {
  Packer packer;
  packer.Number(7).Text("text");
  const std::string& whole = packer.bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string part = whole.substr(0, size);
    const auto read = [&] {
      Unpacker unpacker(part);
      unpacker.Number();
      unpacker.Text();
    };
    EXPECT_EQ(ErrorOf(read).errno_value(), EBADMSG) << size;
  }
}

TEST(PackingTest, ALengthThatIsNoneIsBad) {
  Packer packer;
  packer.Number(UINT64_MAX);
  Unpacker unpacker(packer.bytes());
  EXPECT_EQ(ErrorOf([&] { unpacker.Text(); }).errno_value(), EBADMSG);
}

}  // namespace
}  // namespace ckptfs
