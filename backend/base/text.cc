#include "backend/base/text.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <vector>

namespace ckptfs {
namespace {

constexpr std::string_view kEllipsis = "…";

// One character of a text, or one byte that is not part of valid UTF-8.
struct Character {
  std::string_view bytes;
  utf8proc_int32_t point = -1;  // -1: not UTF-8
};

Character FirstCharacter(std::string_view text) {
  utf8proc_int32_t point = -1;
  const utf8proc_ssize_t size =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                       static_cast<utf8proc_ssize_t>(text.size()), &point);
  if (size <= 0) return {.bytes = text.substr(0, 1)};
  return {.bytes = text.substr(0, static_cast<size_t>(size)), .point = point};
}

bool IsPlain(const Character& character) {
  if (character.point < 0) return false;
  const utf8proc_property_t* property = utf8proc_get_property(character.point);
  switch (property->category) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return property->ignorable == 0;
  }
}

void AppendEscaped(std::string& out, std::string_view bytes) {
  static constexpr std::string_view kNamed = "\a\b\t\n\v\f\r";
  static constexpr std::string_view kLetters = "abtnvfr";
  for (const char byte : bytes) {
    const size_t named = kNamed.find(byte);
    if (named != std::string_view::npos) {
      out += '\\';
      out += kLetters[named];
    } else {
      out += fmt::format("\\{:03o}", static_cast<unsigned char>(byte));
    }
  }
}

// Escapes what is not plain; puts a backslash before characters in `also`.
std::string Escape(std::string_view text, std::string_view also) {
  std::string out;
  while (!text.empty()) {
    const Character character = FirstCharacter(text);
    text.remove_prefix(character.bytes.size());
    if (!IsPlain(character)) {
      AppendEscaped(out, character.bytes);
      continue;
    }
    if (also.find(character.bytes) != std::string_view::npos) out += '\\';
    out += character.bytes;
  }
  return out;
}

// For plain characters. A non-ASCII punctuation or space character may be special to some shell in some
// locale.
bool IsSafeInShell(const Character& character) {
  static constexpr std::string_view kSafe = "%+,-./:@_";
  if (character.point >= 0x80) {
    const utf8proc_category_t category = utf8proc_category(character.point);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO;
  }
  const char byte = character.bytes.front();
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= '0' && byte <= '9') || kSafe.find(byte) != std::string_view::npos;
}

bool IsSafeWord(std::string_view word) {
  while (!word.empty()) {
    const Character character = FirstCharacter(word);
    if (!IsSafeInShell(character)) return false;
    word.remove_prefix(character.bytes.size());
  }
  return true;
}

// A character with its combining accents.
struct Cluster {
  std::string_view bytes;
  size_t columns = 0;
};

std::vector<Cluster> ClustersOf(std::string_view text) {
  std::vector<Cluster> clusters;
  for (size_t at = 0; at < text.size();) {
    const Character character = FirstCharacter(text.substr(at));
    const int width = character.point < 0 ? 1 : utf8proc_charwidth(character.point);
    const size_t columns = width > 0 ? static_cast<size_t>(width) : 0;
    if (columns == 0 && !clusters.empty()) {
      Cluster& last = clusters.back();
      last.bytes = {last.bytes.data(), last.bytes.size() + character.bytes.size()};
    } else {
      clusters.push_back({character.bytes, columns});
    }
    at += character.bytes.size();
  }
  return clusters;
}

}  // namespace

std::string PlainText(std::string_view text) { return Escape(text, ""); }

std::string_view CutText(std::string_view text, size_t bytes_max) {
  size_t size = 0;
  while (size < text.size()) {
    const size_t with_next = size + FirstCharacter(text.substr(size)).bytes.size();
    if (with_next > bytes_max) break;
    size = with_next;
  }
  return text.substr(0, size);
}

std::string Excerpt(std::string_view text, size_t bytes_max) {
  const std::string_view beginning = CutText(text, bytes_max);
  return PlainText(beginning) + (beginning.size() < text.size() ? "..." : "");
}

std::optional<char32_t> TakeCodePoint(std::string_view& text) {
  const Character character = FirstCharacter(text);
  if (character.point < 0) return std::nullopt;
  text.remove_prefix(character.bytes.size());
  return static_cast<char32_t>(character.point);
}

std::string QuoteName(std::string_view name) {
  std::string escaped = Escape(name, "\"\\");
  if (escaped == name && name.find(" -> ") == std::string_view::npos && !name.empty()) {
    return escaped;
  }
  return '"' + escaped + '"';
}

std::string ShellQuote(std::string_view word) {
  if (PlainText(word) != word) return "$'" + Escape(word, "'\\") + "'";
  if (!word.empty() && IsSafeWord(word)) return std::string(word);
  std::string quoted = "'";
  for (const char byte : word) {
    if (byte == '\'') {
      quoted += R"('\'')";
    } else {
      quoted += byte;
    }
  }
  return quoted + "'";
}

size_t DisplayColumns(std::string_view text) {
  size_t columns = 0;
  for (const Cluster& cluster : ClustersOf(text)) columns += cluster.columns;
  return columns;
}

std::string Shorten(std::string_view text, size_t columns) {
  if (DisplayColumns(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  const std::vector<Cluster> clusters = ClustersOf(text);
  const auto take = [](size_t room, auto from, auto to) {
    std::vector<std::string_view> taken;
    for (; from != to && from->columns <= room; ++from) {
      room -= from->columns;
      taken.push_back(from->bytes);
    }
    return taken;
  };
  const size_t room = columns - 1;
  std::string out;
  for (const std::string_view bytes : take(room - room / 2, clusters.begin(), clusters.end())) {
    out += bytes;
  }
  out += kEllipsis;
  std::vector<std::string_view> tail = take(room / 2, clusters.rbegin(), clusters.rend());
  std::reverse(tail.begin(), tail.end());
  for (const std::string_view bytes : tail) out += bytes;
  return out;
}

}  // namespace ckptfs
