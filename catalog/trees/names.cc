#include "catalog/trees/names.h"

#include <fmt/format.h>

#include <cerrno>
#include <optional>
#include <string>

#include "backend/base/error.h"
#include "backend/base/text.h"

namespace ckptfs {
namespace {

constexpr size_t kMaxQuotedBytes = 64;

// The rule that `name` breaks; empty: none.
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
    return fmt::format("use \"{}\" as the name of a {}", Excerpt(name, kMaxQuotedBytes), what);
  };
  if (name.size() > kMaxNameBytes) {
    throw Error(ENAMETOOLONG, attempted(),
                fmt::format("it has {} bytes; the maximum is {}", name.size(), kMaxNameBytes));
  }
  const std::string_view rule = BrokenRule(name);
  if (!rule.empty()) throw Error(EINVAL, attempted(), rule);
}

std::string NameWithSuffix(std::string_view name, int suffix) {
  const std::string end = fmt::format("-{}", suffix);
  return std::string(CutText(name, kMaxNameBytes - end.size())) + end;
}

bool IsReservedInWorkspace(std::string_view name) {
  return name == kSnapshotsName || name == kControlName || name == kUnlinkedName;
}

}  // namespace ckptfs
