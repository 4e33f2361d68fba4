#include "tools/ckpt/output.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "backend/base/error.h"

namespace ckptfs::cli {
namespace {

constexpr size_t kDefaultColumns = 80;
constexpr std::string_view kGap = "  ";

}  // namespace

std::string FormatBytes(uint64_t bytes) {
  static constexpr std::array<const char*, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  // 1023.95 would be rounded up to 1024.0.
  while (value >= 1023.95 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string FormatBytes(const Json& bytes_or_null) {
  if (!bytes_or_null.is_number_unsigned()) return "-";
  return FormatBytes(bytes_or_null.get<uint64_t>());
}

std::string FormatTime(const std::string& rfc3339) {
  const size_t dot = rfc3339.find('.');
  return dot == std::string::npos ? rfc3339 : rfc3339.substr(0, dot) + "Z";
}

Table::Table(std::vector<std::string> headings) : right_(headings.size(), false) {
  rows_.push_back(std::move(headings));
}

void Table::Add(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = PlainText(cell);
  rows_.push_back(std::move(cells));
}

std::vector<size_t> Table::Widths(std::optional<size_t> columns) const {
  std::vector<size_t> widths(right_.size(), 0);
  size_t total = 0;
  for (size_t i = 0; i < widths.size(); ++i) {
    for (const auto& row : rows_) widths[i] = std::max(widths[i], DisplayColumns(row[i]));
    total += widths[i] + (i > 0 ? kGap.size() : 0);
  }
  size_t excess = columns && total > *columns ? total - *columns : 0;
  const auto shorten = [&](size_t column, size_t least) {
    const size_t cut = std::min(excess, widths[column] - std::min(widths[column], least));
    widths[column] -= cut;
    excess -= cut;
  };
  for (const Shortened& one : shortened_) shorten(one.column, one.least);
  for (const Shortened& one : shortened_) shorten(one.column, 1);  // a very narrow terminal
  return widths;
}

std::string Table::Format(std::optional<size_t> columns) const {
  const std::vector<size_t> widths = Widths(columns);
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string cell = Shorten(row[i], widths[i]);
      const std::string padding(widths[i] - DisplayColumns(cell), ' ');
      if (i > 0) line += kGap;
      line += right_[i] ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

std::optional<size_t> TerminalColumns(int fd) {
  if (isatty(fd) != 1) return std::nullopt;
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefaultColumns;
  return size.ws_col;
}

void Print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void PrintLine(std::string_view line) { Print(PlainText(line) + '\n'); }

void PrintFullName(const std::string& name) {
  const bool for_people = isatty(STDOUT_FILENO) == 1;
  Print((for_people ? ShellQuote(name) : name) + '\n');
}

void PrintTable(const Table& table) { Print(table.Format(TerminalColumns(STDOUT_FILENO))); }

void PrintJson(const Json& json) {
  Print(json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n');
}

void Note(std::string_view text) {
  std::string line = "ckpt: " + PlainText(text);
  if (!line.ends_with('.')) line += '.';
  std::fputs((line + '\n').c_str(), stderr);
}

void FlushOutput() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return;
  // Any error, but not one about the store: ENOSPC would be mistaken for that.
  throw Error(EIO, "write to standard output", std::generic_category().message(errno));
}

}  // namespace ckptfs::cli
