#include "catalog/trees/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

int Check(std::string_view name) {
  try {
    CheckName("snapshot", name);
    return 0;
  } catch (const Error& error) {
    return error.errno_value();
  }
}

TEST(Names, TakesWhatPeopleWrite) {
  for (const char* name : {"a", "before-refactor", "with space", "Käse", "日本語", "🙂", "a.b",
                           "latest2", "a\\b", "\xc2\xa0"}) {
    EXPECT_EQ(Check(name), 0) << name;
  }
  EXPECT_EQ(Check(std::string(255, 'x')), 0);
}

TEST(Names, RefusesTheRest) {
  EXPECT_EQ(Check(""), EINVAL);
  EXPECT_EQ(Check(std::string(256, 'x')), ENAMETOOLONG);
  for (const char* name : {".", "..", ".hidden", ".snapshots", "-rf", "latest", "a/b", "a\nb",
                           "a\tb", "\x7f", "a\xc2\x80", "a\xc2\x9f"}) {
    EXPECT_EQ(Check(name), EINVAL) << name;
  }
  EXPECT_EQ(Check(std::string_view("a\0b", 3)), EINVAL);
}

TEST(Names, TellsUtf8FromOtherBytes) {
  for (const char* bad : {"\x80", "\xff", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "a\xc3", "\xe2\x82"}) {
    EXPECT_FALSE(IsValidUtf8(bad));
    EXPECT_EQ(Check(bad), EINVAL);
  }
  EXPECT_TRUE(IsValidUtf8("\xf4\x8f\xbf\xbf"));
  EXPECT_TRUE(IsValidUtf8(""));
}

TEST(Names, ErrorsAreHarmlessToATerminal) {
  try {
    CheckName("workspace", "\x1b[2J");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("\"\\033[2J\" as the name of a workspace"));
    EXPECT_THAT(error.what(), testing::HasSubstr("control characters"));
  }
}

TEST(Names, ReservesItsOwn) {
  EXPECT_TRUE(IsReservedInWorkspace(".snapshots"));
  EXPECT_TRUE(IsReservedInWorkspace(kControlName));
  EXPECT_TRUE(IsReservedInWorkspace(kUnlinkedName));
  EXPECT_FALSE(IsReservedInWorkspace("snapshots"));
}

}  // namespace
}  // namespace ckptfs
