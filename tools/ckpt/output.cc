#include "tools/ckpt/output.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "backend/base/error.h"
#include "catalog/names.h"

namespace ckptfs::cli {
namespace {

bool IsControl(unsigned char byte) { return byte < 0x20 || byte == 0x7F; }

// C1 controls are U+0080 to U+009F: C2 80 to C2 9F.
bool IsC1(std::string_view text, size_t at) {
  return static_cast<unsigned char>(text[at]) == 0xC2 && at + 1 < text.size() &&
         static_cast<unsigned char>(text[at + 1]) < 0xA0;
}

void AppendEscape(std::string& out, unsigned char byte) {
  static constexpr std::string_view kNamed = "\a\b\t\n\v\f\r";
  static constexpr std::string_view kLetters = "abtnvfr";
  const size_t named = kNamed.find(static_cast<char>(byte));
  if (named != std::string_view::npos) {
    out += '\\';
    out += kLetters[named];
  } else {
    out += fmt::format("\\{:03o}", byte);
  }
}

// Escapes what is no plain text, and the characters in `also` with a backslash.
std::string Escape(std::string_view text, std::string_view also) {
  const bool utf8 = IsValidUtf8(text);
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (utf8 && IsC1(text, at)) {
      AppendEscape(out, byte);
      AppendEscape(out, static_cast<unsigned char>(text[++at]));
    } else if (IsControl(byte) || (byte >= 0x80 && !utf8)) {
      AppendEscape(out, byte);
    } else {
      if (also.find(text[at]) != std::string_view::npos) out += '\\';
      out += text[at];
    }
  }
  return out;
}

size_t CodePoints(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace

std::string QuoteName(std::string_view name) {
  std::string escaped = Escape(name, "\"\\");
  if (escaped == name && name.find(" -> ") == std::string_view::npos && !name.empty()) {
    return escaped;
  }
  return '"' + escaped + '"';
}

std::string OneLine(std::string_view text) { return Escape(text, ""); }

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

void Table::Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

std::string Table::Format() const {
  std::vector<size_t> widths(right_.size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], CodePoints(row[i]));
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - CodePoints(row[i]), ' ');
      if (i > 0) line += "  ";
      line += right_[i] ? padding + row[i] : row[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

void Print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void PrintLine(std::string_view line) {
  Print(line);
  Print("\n");
}

void PrintJson(const Json& json) {
  PrintLine(json.dump(2, ' ', false, Json::error_handler_t::replace));
}

void FlushOutput() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return;
  // Whatever it is, it is not about the store: ENOSPC would be taken for that.
  throw Error(EIO, "write to standard output", std::generic_category().message(errno));
}

}  // namespace ckptfs::cli
