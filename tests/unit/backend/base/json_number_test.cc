#include "backend/base/json_number.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

template <typename Number>
Number Read(const std::string& text) {
  return WholeNumber<Number>(nlohmann::json::parse(text));
}

TEST(WholeNumberTest, WhatTheTypeHolds) {
  EXPECT_EQ(Read<uint64_t>("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(Read<int64_t>("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(Read<uint8_t>("255"), 255);
  EXPECT_EQ(Read<int8_t>("-128"), -128);
  EXPECT_EQ(Read<int>("0"), 0);
}

TEST(WholeNumberTest, NothingElse) {
  for (const char* text : {"256", "-1", "1.0", "1e300", "\"1\"", "null", "true", "[1]", "{}"}) {
    EXPECT_EQ(ErrorOf([&] { Read<uint8_t>(text); }).errno_value(), EUCLEAN) << text;
  }
  EXPECT_EQ(ErrorOf([] { Read<int64_t>("9223372036854775808"); }).errno_value(), EUCLEAN);
  EXPECT_EQ(ErrorOf([] { Read<uint64_t>("18446744073709551616"); }).errno_value(), EUCLEAN);
}

}  // namespace
}  // namespace ckptfs
