#include "catalog/db/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>

#include "backend/base/error.h"
#include "backend/base/text.h"

namespace ckptfs {
namespace {

constexpr size_t kMaxQuotedBytes = 64;

// Takes the first code point off `text`; empty if there is no valid one.
std::optional<char32_t> TakeCodePoint(std::string_view& text) {
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(text[at]); };
  const uint8_t lead = byte(0);
  size_t size = 1;
  char32_t point = lead;
  char32_t smallest = 0;  // below it the encoding is longer than it need be, which is forbidden
  if (lead >= 0x80) {
    if ((lead & 0xe0) == 0xc0) {
      size = 2, point = lead & 0x1fU, smallest = 0x80;
    } else if ((lead & 0xf0) == 0xe0) {
      size = 3, point = lead & 0x0fU, smallest = 0x800;
    } else if ((lead & 0xf8) == 0xf0) {
      size = 4, point = lead & 0x07U, smallest = 0x10000;
    } else {
      return std::nullopt;
    }
  }
  if (text.size() < size) return std::nullopt;
  for (size_t at = 1; at < size; ++at) {
    if ((byte(at) & 0xc0) != 0x80) return std::nullopt;
    point = (point << 6) | (byte(at) & 0x3fU);
  }
  const bool surrogate = point >= 0xd800 && point <= 0xdfff;
  if (point < smallest || point > 0x10ffff || surrogate) return std::nullopt;
  text.remove_prefix(size);
  return point;
}

// A name as it may stand in an error or a log: short, and harmless to a terminal.
std::string Quoted(std::string_view name) {
  std::string out = '"' + PlainText(name.substr(0, kMaxQuotedBytes));
  if (name.size() > kMaxQuotedBytes) out += "...";
  return out + '"';
}

// Which rule `name` breaks; empty: none.
std::string_view BrokenRule(std::string_view name) {
  if (name.empty()) return "a name has at least one byte";
  if (name.front() == '.') return "a name must not start with a dot";
  if (name.front() == '-') return "a name must not start with a hyphen";
  if (name == kLatestName) return "\"latest\" stands for the newest checkpoint";
  std::string_view rest = name;
  while (!rest.empty()) {
    const std::optional<char32_t> point = TakeCodePoint(rest);
    if (!point) return "a name must be valid UTF-8";
    const bool control = *point < 0x20 || (*point >= 0x7f && *point <= 0x9f);
    if (control) return "a name must not hold control characters";
    if (*point == '/') return "a name must not hold a slash";
  }
  return {};
}

}  // namespace

bool IsValidUtf8(std::string_view text) {
  while (!text.empty()) {
    if (!TakeCodePoint(text)) return false;
  }
  return true;
}

void CheckName(std::string_view what, std::string_view name) {
  const auto attempted = [&] {
    return fmt::format("use {} as the name of a {}", Quoted(name), what);
  };
  if (name.size() > kMaxNameBytes) {
    throw Error(ENAMETOOLONG, attempted(),
                fmt::format("it has {} bytes, and {} is the most", name.size(), kMaxNameBytes));
  }
  const std::string_view rule = BrokenRule(name);
  if (!rule.empty()) throw Error(EINVAL, attempted(), rule);
}

std::string NameWithSuffix(std::string_view name, int suffix) {
  const std::string end = fmt::format("-{}", suffix);
  size_t size = std::min(name.size(), kMaxNameBytes - end.size());
  // Not within a character.
  while (size < name.size() && (static_cast<uint8_t>(name[size]) & 0xc0) == 0x80) --size;
  return std::string(name.substr(0, size)) + end;
}

bool IsReservedInWorkspace(std::string_view name) {
  return name == kSnapshotsName || name == kControlName || name == kUnlinkedName;
}

}  // namespace ckptfs
