// Untrusted text for terminals and shells.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ckptfs {

// Keeps the visible part of `text`. Whatever is invisible, or would be obeyed by a terminal, becomes octal or
// other C escapes of its bytes ("\n", "\033", "\342\200\256"): control characters and line breaks of all
// kinds, characters without a glyph or a width of their own (zero-width joiners, direction marks, variation
// selectors and the like), and bytes that are not UTF-8. So the result is one line, and different texts look
// different. Accents that combine with the letter before them stay. Idempotent.
std::string PlainText(std::string_view text);

// PlainText of the beginning of `text`: at most `bytes_max` bytes of it, followed by "..." if it is cut. For
// texts of any length in a one-line error.
std::string Excerpt(std::string_view text, size_t bytes_max);

// The longest beginning of `text` of at most `bytes_max` bytes that cuts no character in two.
std::string_view CutText(std::string_view text, size_t bytes_max);

// Removes the first character of the nonempty `text` and returns its code point. If `text` does not begin
// with valid UTF-8, returns empty and leaves it unchanged.
std::optional<char32_t> TakeCodePoint(std::string_view& text);

// A file's name for display: unchanged; or as a C string literal ("a\nb"), if PlainText changes it, or if it
// is empty or contains quotes, backslashes or " -> ".
std::string QuoteName(std::string_view name);

// `word` for a command line for a shell (bash, zsh, ksh): unquoted if no shell can misinterpret it, else in
// single quotes, or in $'...' if PlainText changes it. The caller must handle words that begin with a hyphen:
// quoting does not help, as the command does not see the quotes.
std::string ShellQuote(std::string_view word);

// The number of terminal columns of a text that PlainText does not change: two per Chinese, Japanese or
// Korean character or emoji, none per combining accent.
size_t DisplayColumns(std::string_view text);

// `text`, which PlainText does not change, in at most `columns` columns. If it is too long, an ellipsis
// replaces its middle, as generated names differ at their ends. Accents stay with their letters.
std::string Shorten(std::string_view text, size_t columns);

}  // namespace ckptfs
