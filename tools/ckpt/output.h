// What `ckpt` prints, for people and for scripts.
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

// A table with a line of headings, columns as wide as they need be, two spaces apart. Widths are those on
// a terminal. The last column is not padded. For one thread.
class Table {
 public:
  explicit Table(std::vector<std::string> headings);
  // What is in a cell is put as PlainText has it.
  void Add(std::vector<std::string> cells);
  // Marks a column of numbers, to stand flush right.
  void AlignRight(size_t column) { right_[column] = true; }
  // Where the table is too wide, the columns given first are shortened first, each to `least` at the
  // least; when that does not do, each of them further.
  void MayShorten(size_t column, size_t least) { shortened_.push_back({column, least}); }
  // In lines of at most `columns`, if columns that may be shortened allow for it; empty: of any length.
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

// How many columns the terminal `fd` has; empty if it is none.
std::optional<size_t> TerminalColumns(int fd);

// What is left of a name where a terminal is narrow: enough to know one made of a time by.
inline constexpr size_t kNameColumnsMin = 12;

// Writes to standard output, as it is; Flush throws Error if any of it could not be written.
void Print(std::string_view text);
// A line for people, as PlainText has it: nothing in it can break it.
void PrintLine(std::string_view line);
// A name that the next command is given, a line by itself: exact for a script, quoted on a terminal.
void PrintFullName(const std::string& name);
// As wide as the terminal, if it goes to one.
void PrintTable(const Table& table);
void PrintJson(const Json& json);
void FlushOutput();
// One line on standard error: "ckpt: TEXT.".
void Note(std::string_view text);

}  // namespace ckptfs::cli
