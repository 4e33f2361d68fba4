#include "tools/ckpt/output.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "tools/ckpt/changes.h"
#include "tools/ckpt/exit_code.h"
#include "tools/ckpt/progress.h"

namespace ckptfs::cli {
namespace {

TEST(FormatBytes, HasOneUnitAndOneDecimal) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes((uint64_t{1} << 20) - 1), "1.0 MiB");
  EXPECT_EQ(FormatBytes(uint64_t{30} << 30), "30.0 GiB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "16.0 EiB");
  EXPECT_EQ(FormatBytes(Json()), "-");
  EXPECT_EQ(FormatBytes(Json(uint64_t{5})), "5 B");
}

TEST(FormatTime, DropsTheFraction) {
  EXPECT_EQ(FormatTime("2026-11-20T21:22:33.123456789Z"), "2026-11-20T21:22:33Z");
  EXPECT_EQ(FormatTime("2026-11-20T21:22:33Z"), "2026-11-20T21:22:33Z");
}

TEST(Table, AlignsByCharactersNotBytes) {
  Table table({"NAME", "N", "LAST"});
  table.AlignRight(1);
  table.Add({"ä", "1", "x"});
  table.Add({"longer", "22", ""});
  EXPECT_EQ(table.Format(),
            "NAME     N  LAST\n"
            "ä        1  x\n"
            "longer  22\n");
}

TEST(Table, AlignsByColumnsOfATerminal) {
  Table table({"NAME", "N"});
  table.Add({"日本", "1"});
  table.Add({"e\xcc\x81", "2"});
  table.Add({"\u202ea\u200b", "3"});
  EXPECT_EQ(table.Format(),
            "NAME                       N\n"
            "日本                       1\n"
            "e\xcc\x81                          2\n"
            "\\342\\200\\256a\\342\\200\\213  3\n");
}

TEST(Table, IsNoWiderThanTheTerminal) {
  const auto make = [] {
    Table table({"NAME", "CREATED", "MESSAGE"});
    table.MayShorten(2, 7);
    table.MayShorten(0, 8);
    return table;
  };
  Table table = make();
  table.Add({std::string(255, 'n'), "2026-11-20T21:22:33Z", "a message of some length"});
  table.Add({"日本語日本語日本語", "2026-11-20T21:22:33Z", "m"});
  for (size_t columns : {50, 60, 80, 200}) {
    const std::string text = table.Format(columns);
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = text.find('\n', begin);
      EXPECT_LE(DisplayColumns(text.substr(begin, end - begin)), columns);
      begin = end + 1;
    }
    EXPECT_NE(text.find("2026-11-20T21:22:33Z"), std::string::npos) << text;
  }
  EXPECT_NE(table.Format(50).find("nnnnnnnn…nnnnnnnn"), std::string::npos) << table.Format(50);
  EXPECT_NE(table.Format().find(std::string(255, 'n')), std::string::npos);  // piped
  // What has room is left alone.
  Table small = make();
  small.Add({"a name", "today", "a message"});
  EXPECT_EQ(small.Format(80), small.Format());
}

TEST(ChangeLine, HasALetterForEachKind) {
  EXPECT_EQ(ChangeLine({{"kind", "added"}, {"path", "a b"}}), "+ a b");
  EXPECT_EQ(ChangeLine({{"kind", "removed"}, {"path", "a\nb"}}), "- \"a\\nb\"");
  EXPECT_EQ(ChangeLine({{"kind", "modified"}, {"path", "x"}}), "M x");
  EXPECT_EQ(
      ChangeLine(
          {{"kind", "renamed"}, {"path", "new"}, {"old_path", {{"bytes", {98, 97, 100, 255}}}}}),
      "R \"bad\\377\" -> new");
}

TEST(ExitCode, FollowsTheErrno) {
  EXPECT_EQ(ExitCodeOf(Error(EIO, "x")), kFailed);
  EXPECT_EQ(ExitCodeOf(Error(EACCES, "x")), kFailed);
  EXPECT_EQ(ExitCodeOf(Error(EINVAL, "x")), kUsage);
  EXPECT_EQ(ExitCodeOf(Error(ENAMETOOLONG, "x")), kUsage);
  EXPECT_EQ(ExitCodeOf(Error(ENOENT, "x")), kNotFound);
  EXPECT_EQ(ExitCodeOf(Error(EEXIST, "x")), kExistsAlready);
  EXPECT_EQ(ExitCodeOf(Error(EBUSY, "x")), kBusy);
  EXPECT_EQ(ExitCodeOf(Error(ENOSPC, "x")), kNoSpace);
  EXPECT_EQ(ExitCodeOf(Error(EDQUOT, "x")), kNoSpace);
}

TEST(ProgressBar, FitsTheTerminal) {
  const std::string line = ProgressBar::Line(512, 1024, 5, 10, 80);
  EXPECT_NE(line.find(" 50%"), std::string::npos);
  EXPECT_NE(line.find("5 of 10 files"), std::string::npos);
  EXPECT_NE(line.find("#."), std::string::npos);
  for (size_t columns : {0, 1, 10, 40, 50, 80, 300}) {
    EXPECT_LE(ProgressBar::Line(1 << 30, 1 << 31, 5, 10, columns).size(), columns) << columns;
  }
  EXPECT_NE(ProgressBar::Line(0, 0, 0, 0, 80).find("100%"), std::string::npos);
  EXPECT_NE(ProgressBar::Line(9, 1, 9, 1, 80).find("100%"), std::string::npos);
}

}  // namespace
}  // namespace ckptfs::cli
