#include "backend/base/json_bounds.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace ckptfs {
namespace {

std::string Repeated(std::string_view piece, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += piece;
  return text;
}

std::string Nested(size_t depth) { return Repeated("[", depth) + Repeated("]", depth); }

TEST(JsonBoundsTest, WhatIsGood) {
  for (const char* text : {"{}", "[]", "1", "-1.5e3", "null", "true", R"("x")",
                           R"({"a": [1, {"b": "\u00e4"}], "a": null})"}) {
    EXPECT_EQ(CheckJson(text, {}), JsonVerdict::kGood) << text;
  }
}

TEST(JsonBoundsTest, WhatIsNot) {
  for (const char* text : {"", " ", "{", "[1,]", "{\"a\":}", "nul", "{} {}", "\"\xff\"", "'x'"}) {
    EXPECT_EQ(CheckJson(text, {}), JsonVerdict::kMalformed) << text;
  }
}

TEST(JsonBoundsTest, Depth) {
  EXPECT_EQ(CheckJson(Nested(4), {.depth_max = 3}), JsonVerdict::kGood);
  EXPECT_EQ(CheckJson(Nested(5), {.depth_max = 3}), JsonVerdict::kTooDeep);
  EXPECT_EQ(CheckJson("[[[[1]]]]", {.depth_max = 3}), JsonVerdict::kTooDeep);
  EXPECT_EQ(CheckJson(Nested(500'000), {}), JsonVerdict::kTooDeep);
}

TEST(JsonBoundsTest, Values) {
  EXPECT_EQ(CheckJson("[1, 2, {\"a\": 3}]", {.values_max = 5}), JsonVerdict::kGood);
  EXPECT_EQ(CheckJson("[1, 2, {\"a\": 3}]", {.values_max = 4}), JsonVerdict::kTooManyValues);
}

TEST(JsonBoundsTest, Objects) {
  EXPECT_EQ(CheckJson(" {\"a\": 1}", {.must_be_object = true}), JsonVerdict::kGood);
  for (const char* text : {"[{}]", "1", "\"{}\"", "null"}) {
    EXPECT_EQ(CheckJson(text, {.must_be_object = true}), JsonVerdict::kNotAnObject) << text;
  }
}

// A square would take minutes.
TEST(JsonBoundsTest, TimeGoesWithTheLength) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(CheckJson("[" + Repeated("{},", 300'000) + "1]", {}), JsonVerdict::kGood);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace ckptfs
