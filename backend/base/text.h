// Text that others have chosen, on its way to people's terminals and shells.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ckptfs {

// What a person can see of `text` stays as it is. What cannot be seen, or what a terminal would obey, becomes
// octal escapes of its bytes, as the C language has them ("\n", "\033", "\342\200\256"): control characters
// and line breaks of all kinds, characters without a shape or a width of their own (zero-width joiners, marks
// of direction, variation selectors and the like), bytes that are no UTF-8. So the result is one line, and
// two texts that differ look different. Accents that combine
// with the letter before them stay. Applied to its own result it changes nothing.
std::string PlainText(std::string_view text);

// PlainText of the beginning of `text`: at most `bytes_max` bytes of it, and "..." where that is not all. For
// texts of any length in one line of an error.
std::string Excerpt(std::string_view text, size_t bytes_max);

// The beginning of `text` in at most `bytes_max` bytes, no character of it cut in two.
std::string_view CutText(std::string_view text, size_t bytes_max);

// Takes the first character off `text`, which is not empty, and gives its code point; empty, and `text` as it
// was, if it does not begin with valid UTF-8.
std::optional<char32_t> TakeCodePoint(std::string_view& text);

// A file's name for people: as it is, or, if PlainText changes it, or if it is empty or holds quotes,
// backslashes or " -> ", as a string of the C language ("a\nb").
std::string QuoteName(std::string_view name);

// `word` for a command line that somebody may give to a shell (bash, zsh, ksh): bare where no shell could
// take it for anything else, else in single quotes, and in $'...' if PlainText changes it. That a word begins
// with a hyphen is for the caller to see to: its quotes are gone when the command reads it.
std::string ShellQuote(std::string_view word);

// How many columns of a terminal a text takes that PlainText does not change: two for each Chinese,
// Japanese or Korean character and each emoji, none for a combining accent.
size_t DisplayColumns(std::string_view text);

// `text`, which PlainText does not change, in at most `columns` columns: what is too long loses its middle,
// for an ellipsis, as names that were made up differ at their ends. Accents stay with their letters.
std::string Shorten(std::string_view text, size_t columns);

}  // namespace ckptfs
