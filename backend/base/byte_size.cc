#include "backend/base/byte_size.h"

#include <charconv>
#include <limits>
#include <string_view>

namespace ckptfs {
namespace {

std::optional<unsigned int> ShiftOf(std::string_view unit) {
  for (const std::string_view tail : {"iB", "B"}) {
    if (unit.size() > tail.size() && unit.ends_with(tail)) unit.remove_suffix(tail.size());
  }
  constexpr std::string_view kUnits = "kmgt";
  constexpr unsigned int kBitsOfOne = 10;
  if (unit.empty()) return 0;
  const size_t place = kUnits.find(static_cast<char>(unit.front() | 0x20));  // in lower case
  if (unit.size() != 1 || place == std::string_view::npos) return std::nullopt;
  return kBitsOfOne * static_cast<unsigned int>(place + 1);
}

}  // namespace

std::optional<uint64_t> ParseByteSize(std::string_view text) {
  uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || number == 0) return std::nullopt;
  const auto shift = ShiftOf({rest, static_cast<size_t>(end - rest)});
  if (!shift || number > std::numeric_limits<uint64_t>::max() >> *shift) return std::nullopt;
  return number << *shift;
}

}  // namespace ckptfs
