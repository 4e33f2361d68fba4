#include "backend/base/text.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

namespace ckptfs {
namespace {

// What bash makes of `quoted`, given to it as a word.
std::string ReadByBash(const std::string& quoted) {
  const std::string command = "LC_ALL=C printf %s " + quoted;
  std::array<int, 2> ends{};
  EXPECT_EQ(pipe(ends.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execlp("bash", "bash", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  close(ends[1]);
  std::string text;
  std::array<char, 256> piece{};
  for (ssize_t got = 0; (got = read(ends[0], piece.data(), piece.size())) > 0;) {
    text.append(piece.data(), static_cast<size_t>(got));
  }
  close(ends[0]);
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << command;
  return text;
}

TEST(PlainText, LeavesWhatCanBeSeen) {
  for (const char* text : {"", "a \"quoted\" word", "äöü/ß", "e\xcc\x81", "日本語", "🎉", "a\\b",
                           "नमस्ते", "سلام", "שלום"}) {
    EXPECT_EQ(PlainText(text), text);
  }
}

TEST(PlainText, EscapesWhatATerminalWouldObeyOrHide) {
  EXPECT_EQ(PlainText("two\nlines\x7f\x1b[31m"), "two\\nlines\\177\\033[31m");
  EXPECT_EQ(PlainText("c1\xc2\x9b"), "c1\\302\\233");
  EXPECT_EQ(PlainText("bad\xff"
                      "ä"),
            "bad\\377ä");
  EXPECT_EQ(PlainText("long\xc1\x81"), "long\\301\\201");
  EXPECT_EQ(PlainText("half\xe2\x80"), "half\\342\\200");
  EXPECT_EQ(PlainText("\xed\xa0\x80"), "\\355\\240\\200");  // a surrogate
  EXPECT_EQ(PlainText(std::string("nul\0", 4)), "nul\\000");
  for (const char* hidden :
       {"\u00ad", "\u034f", "\u061c", "\u115f", "\u180e", "\u200b",    "\u200c",
        "\u200d", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a",    "\u202b",
        "\u202c", "\u202d", "\u202e", "\u2060", "\u2066", "\u2067",    "\u2068",
        "\u2069", "\u3164", "\ufe0f", "\ufeff", "\ufff9", "\U000e0041"}) {
    const std::string plain = PlainText(std::string("a") + hidden + "b");
    EXPECT_EQ(plain.find(hidden), std::string::npos) << plain;
    EXPECT_EQ(plain.substr(0, 2), "a\\") << plain;
    EXPECT_EQ(PlainText(plain), plain);
  }
  EXPECT_EQ(PlainText("\u202egpj.exe"), "\\342\\200\\256gpj.exe");
}

TEST(CutText, CutsNoCharacterInTwo) {
  EXPECT_EQ(CutText("abc", 3), "abc");
  EXPECT_EQ(CutText("abc", 2), "ab");
  EXPECT_EQ(CutText("aä", 2), "a");
  EXPECT_EQ(CutText("日本", 5), "日");
  EXPECT_EQ(CutText("\x80\x80\x80", 2), "\x80\x80");  // bytes that are no character
  EXPECT_EQ(CutText("abc", 0), "");
}

TEST(Excerpt, IsPlainAndSaysWhatIsMissing) {
  EXPECT_EQ(Excerpt("a\nb", 3), "a\\nb");
  EXPECT_EQ(Excerpt("aäb", 2), "a...");
  EXPECT_EQ(Excerpt(std::string(100, 'x'), 10), std::string(10, 'x') + "...");
}

TEST(QuoteName, LeavesPlainNamesAlone) {
  for (const char* name : {"a", "a b", "äöü/ß", "-x", "a'b", "$HOME", "日本"}) {
    EXPECT_EQ(QuoteName(name), name);
  }
}

TEST(QuoteName, QuotesWhatWouldMislead) {
  EXPECT_EQ(QuoteName("a\nb"), R"("a\nb")");
  EXPECT_EQ(QuoteName("tab\there"), R"("tab\there")");
  EXPECT_EQ(QuoteName("q\"b\\"), R"("q\"b\\")");
  EXPECT_EQ(QuoteName("\x1b[31m"), R"("\033[31m")");
  EXPECT_EQ(QuoteName("bad\xff"), R"("bad\377")");
  EXPECT_EQ(QuoteName("c1\xc2\x9b"), R"("c1\302\233")");
  EXPECT_EQ(QuoteName("a\u200b"), R"("a\342\200\213")");
  EXPECT_EQ(QuoteName("a -> b"), R"("a -> b")");
  EXPECT_EQ(QuoteName(""), R"("")");
  EXPECT_EQ(QuoteName(std::string("nul\0", 4)), R"("nul\000")");
}

TEST(ShellQuote, LeavesBareWhatNeedsNoQuotes) {
  for (const char* word :
       {"a", "/mnt/ckpt/proj", "ckpt-20261120T212233Z", "a_b.c+d,e:f@g%h", "-x", "äöü", "日本"}) {
    EXPECT_EQ(ShellQuote(word), word);
  }
}

TEST(ShellQuote, QuotesTheRest) {
  EXPECT_EQ(ShellQuote(""), "''");
  EXPECT_EQ(ShellQuote("My Files"), "'My Files'");
  EXPECT_EQ(ShellQuote("it's"), R"('it'\''s')");
  EXPECT_EQ(ShellQuote("a\nb"), R"($'a\nb')");
  EXPECT_EQ(ShellQuote("it's\n\\"), R"($'it\'s\n\\')");
  EXPECT_EQ(ShellQuote("\u202e"), R"($'\342\200\256')");
  EXPECT_EQ(ShellQuote("a\u00a0b"), "'a\u00a0b'");
  EXPECT_EQ(ShellQuote("~"), "'~'");
}

TEST(ShellQuote, IsReadBackByAShell) {
  std::vector<std::string> words = {"",          "My Files",    "it's",    "a\nb\n",   "-rf /",
                                    "$(reboot)", "`reboot`",    "a\"b",    "!!",       "\\",
                                    "\\n",       "*?[a]{b,c}",  "~root",   "a;b&c|d",  "#x",
                                    "\u202e",    "bad\xff\xfe", "'\n'",    "\t7",      "\0017",
                                    "$'a'",      "a=b",         "日本 語", "a\u00a0b", "<>"};
  std::string all;
  for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
  words.push_back(all);
  for (const std::string& word : words) EXPECT_EQ(ReadByBash(ShellQuote(word)), word);
}

TEST(DisplayColumns, AreThoseOfATerminal) {
  EXPECT_EQ(DisplayColumns(""), 0U);
  EXPECT_EQ(DisplayColumns("abc"), 3U);
  EXPECT_EQ(DisplayColumns("äöü"), 3U);
  EXPECT_EQ(DisplayColumns("e\xcc\x81"), 1U);
  EXPECT_EQ(DisplayColumns("日本"), 4U);
  EXPECT_EQ(DisplayColumns("🎉"), 2U);
  EXPECT_EQ(DisplayColumns("ﾊﾝ"), 2U);  // half as wide
}

TEST(Shorten, KeepsBothEndsAndWholeCharacters) {
  EXPECT_EQ(Shorten("abc", 3), "abc");
  EXPECT_EQ(Shorten("abcdef", 5), "ab…ef");
  EXPECT_EQ(Shorten("abcdef", 4), "ab…f");
  EXPECT_EQ(Shorten("abcdef", 1), "…");
  EXPECT_EQ(Shorten("abcdef", 0), "");
  EXPECT_EQ(Shorten("日本語文字", 6), "日…字");
  EXPECT_EQ(Shorten("ae\xcc\x81xxxxe\xcc\x81", 4), "ae\xcc\x81…e\xcc\x81");
  for (size_t columns = 0; columns < 12; ++columns) {
    EXPECT_LE(DisplayColumns(Shorten("日本e\xcc\x81語文字abcdef", columns)), columns);
  }
}

}  // namespace
}  // namespace ckptfs
