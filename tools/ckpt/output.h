// What `ckpt` prints, for people and for scripts.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace ckptfs::cli {

using Json = nlohmann::json;

// A file's name for people: as it is, or, if it holds control characters, quotes, backslashes,
// " -> " or bytes that are no UTF-8, quoted as a string of the C language ("a\nb").
std::string QuoteName(std::string_view name);

// Text that somebody else wrote, on one line: control characters as escapes, so that it can
// neither break a line nor speak to the terminal.
std::string OneLine(std::string_view text);

// "1.5 GiB"; exact below 1 KiB ("12 B"). "-" for null.
std::string FormatBytes(uint64_t bytes);
std::string FormatBytes(const Json& bytes_or_null);

// An RFC 3339 time without its fraction: "2026-11-20T21:22:33Z".
std::string FormatTime(const std::string& rfc3339);

// A table with a line of headings, columns as wide as they need be, two spaces apart. Widths are
// counted in code points. The last column is not padded.
class Table {
 public:
  explicit Table(std::vector<std::string> headings);
  void Add(std::vector<std::string> cells);
  // Marks a column of numbers, to stand flush right.
  void AlignRight(size_t column) { right_[column] = true; }
  std::string Format() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<bool> right_;
};

// Writes to standard output; Flush throws Error if any of it could not be written.
void Print(std::string_view text);
void PrintLine(std::string_view line);
void PrintJson(const Json& json);
void FlushOutput();

}  // namespace ckptfs::cli
