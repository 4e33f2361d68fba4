#include "tests/fsx/content.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace ckptfs::fsx {
namespace {

constexpr size_t kWordBytes = sizeof(uint64_t);
constexpr unsigned kOperationBits = 40;
constexpr uint64_t kOperationMask = (uint64_t{1} << kOperationBits) - 1;
constexpr uint64_t kOffsetMask = (uint64_t{1} << (64 - kOperationBits)) - 1;
// An odd number, so multiplying by it loses nothing.
constexpr uint64_t kFactor = 0x9E3779B97F4A7C15;

constexpr uint64_t Inverse(uint64_t odd) {
  uint64_t inverse = odd;
  // Newton's method: each step doubles the number of low bits that are right, from 3 on.
  for (int i = 0; i < 5; ++i) inverse *= 2 - odd * inverse;
  return inverse;
}
static_assert(kFactor * Inverse(kFactor) == 1);

uint64_t Mix(uint64_t word) {
  word *= kFactor;
  return word ^ word >> 32U;
}

uint64_t Unmix(uint64_t word) { return (word ^ word >> 32U) * Inverse(kFactor); }

}  // namespace

std::string Content(uint64_t operation, size_t offset, size_t length) {
  const size_t first = offset / kWordBytes;
  const size_t end = (offset + length + kWordBytes - 1) / kWordBytes;
  std::string bytes((end - first) * kWordBytes, '\0');
  for (size_t number = first; number < end; ++number) {
    const uint64_t word =
        Mix((number & kOffsetMask) << kOperationBits | (operation & kOperationMask));
    std::memcpy(bytes.data() + (number - first) * kWordBytes, &word, kWordBytes);
  }
  return bytes.substr(offset % kWordBytes, length);
}

std::string Origin(std::string_view bytes, size_t offset) {
  if (std::all_of(bytes.begin(), bytes.end(), [](char byte) { return byte == '\0'; })) {
    return "zeros";
  }
  const size_t skipped = (kWordBytes - offset % kWordBytes) % kWordBytes;
  if (bytes.size() < skipped + kWordBytes) return "too few to tell whose";
  uint64_t word = 0;
  std::memcpy(&word, bytes.data() + skipped, kWordBytes);
  word = Unmix(word);
  return fmt::format("operation {}'s for offset {}, unless copied", word & kOperationMask,
                     (word >> kOperationBits) * kWordBytes);
}

std::string Hex(std::string_view bytes) {
  constexpr size_t kShown = 24;
  std::string text;
  for (const char byte : bytes.substr(0, kShown)) {
    text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  }
  return text;
}

}  // namespace ckptfs::fsx
