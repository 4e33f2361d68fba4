#include "tools/ckpt/recovery_mark.h"

#include <gtest/gtest.h>

#include <string>

namespace ckptfs::cli {
namespace {

RecoveryMark Example() {
  return {.name = "proj",
          .link = "/mnt/ckpt/proj",
          .workspace = "proj",
          .snapshot = "ckpt-20261120T212233Z",
          .snapshot_id = "3f0c",
          .copy_inode = UINT64_MAX};
}

TEST(RecoveryMark, IsReadAsItWasWritten) {
  const RecoveryMark mark = Example();
  EXPECT_EQ(ParseMark(FormatMark(mark)), mark);
}

TEST(RecoveryMark, KeepsNamesOfAnyBytes) {
  RecoveryMark mark = Example();
  mark.name = "a\n\"b\" \xFF\xFE";
  mark.link = std::string("/x/") + std::string(4000, '\xC3');
  EXPECT_EQ(ParseMark(FormatMark(mark)), mark);
}

TEST(RecoveryMark, RefusesAnythingElse) {
  const std::string good = FormatMark(Example());
  EXPECT_EQ(ParseMark(""), std::nullopt);
  EXPECT_EQ(ParseMark("{}"), std::nullopt);
  EXPECT_EQ(ParseMark("[1]"), std::nullopt);
  EXPECT_EQ(ParseMark(std::string(100000, '[')), std::nullopt);
  for (size_t length = 0; length + 2 < good.size(); ++length) {
    EXPECT_EQ(ParseMark(good.substr(0, length)), std::nullopt) << length;
  }
  for (const char* field :
       {"kind", "name", "link", "workspace", "snapshot", "snapshot_id", "copy_inode"}) {
    std::string other = good;
    other.replace(other.find("\"" + std::string(field) + "\"") + 1, 1, "X");
    EXPECT_EQ(ParseMark(other), std::nullopt) << field;
  }
  std::string kind = good;
  kind.replace(kind.find("a copy"), 1, "A");
  EXPECT_EQ(ParseMark(kind), std::nullopt);
}

}  // namespace
}  // namespace ckptfs::cli
