// The output of `ckpt`, for people and for scripts.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/text.h"

namespace ckptfs::cli {

using Json = nlohmann::json;

// "1.5 GiB"; exact below 1 KiB ("12 B"). "-" for null.
std::string FormatBytes(uint64_t bytes);
std::string FormatBytes(const Json& bytes_or_null);

// An RFC 3339 time without its fraction: "2026-11-20T21:22:33Z".
std::string FormatTime(const std::string& rfc3339);

// A table with a heading line and columns as wide as needed, two spaces apart. Widths are terminal columns.
// The last column is not padded. Used by one thread.
class Table {
 public:
  explicit Table(std::vector<std::string> headings);
  // Cells are printed as by PlainText.
  void Add(std::vector<std::string> cells);
  // Right-aligns a column of numbers.
  void AlignRight(size_t column) { right_[column] = true; }
  // If the table is too wide, columns are shortened in the order of these calls, each to no less than
  // `least`; if that does not suffice, they are shortened further.
  void MayShorten(size_t column, size_t least) { shortened_.push_back({column, least}); }
  // In lines of at most `columns`, as far as shortening allows; empty: of any length.
  std::string Format(std::optional<size_t> columns = std::nullopt) const;

 private:
  struct Shortened {
    size_t column;
    size_t least;
  };

  std::vector<size_t> Widths(std::optional<size_t> columns) const;

  std::vector<std::vector<std::string>> rows_;
  std::vector<bool> right_;
  std::vector<Shortened> shortened_;
};

// The width of the terminal `fd`; empty if it is not a terminal.
std::optional<size_t> TerminalColumns(int fd);

// The minimum for names on a narrow terminal: enough to recognise a generated one.
inline constexpr size_t kNameColumnsMin = 12;

// Writes unchanged to standard output; Flush throws Error if anything could not be written.
void Print(std::string_view text);
// One line for people, as by PlainText: it cannot be broken by its contents.
void PrintLine(std::string_view line);
// A name to be passed to the next command, on its own line: exact for a script, quoted on a terminal.
void PrintFullName(const std::string& name);
// As wide as the terminal, if the output is one.
void PrintTable(const Table& table);
void PrintJson(const Json& json);
void FlushOutput();
// One line on standard error: "ckpt: TEXT.".
void Note(std::string_view text);

}  // namespace ckptfs::cli
