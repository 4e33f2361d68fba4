#include "catalog/db/metadata.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

int ErrnoOfChecking(const std::string& json) {
  try {
    EXPECT_EQ(Metadata::Checked(json).json(), json);
    return 0;
  } catch (const Error& error) {
    return error.errno_value();
  }
}

std::string Nested(size_t depth) {
  return R"({"a":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
}

TEST(MetadataTest, IsAnObjectOfBoundedSizeAndDepth) {
  EXPECT_EQ(Metadata().json(), "{}");
  for (const std::string& good : {std::string("{}"), std::string(R"( {"k": [1, 2]} )"), Nested(64),
                                  R"({"a":")" + std::string(65'528, 'x') + "\"}"}) {
    EXPECT_EQ(ErrnoOfChecking(good), 0) << good.substr(0, 100);
  }
  for (const std::string& bad :
       {std::string(), std::string("[1]"), std::string("{"), std::string("3"), std::string("{} {}"),
        std::string("{\"a\":\"\xff\"}"), Nested(65),
        R"({"a":")" + std::string(65'529, 'x') + "\"}"}) {
    EXPECT_EQ(ErrnoOfChecking(bad), EINVAL) << bad.substr(0, 100);
  }
}

}  // namespace
}  // namespace ckptfs
