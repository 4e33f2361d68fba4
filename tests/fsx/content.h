// What the tester writes into files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ckptfs::fsx {

inline constexpr size_t kPageBytes = 4096;

// The bytes that the operation of that number writes to [offset, offset + length) of a file. Hardly
// one of them is zero or what another operation writes there, and eight of them tell both numbers.
std::string Content(uint64_t operation, size_t offset, size_t length);

// Which operation wrote these bytes, which were found at `offset`, and for which offset; for people.
std::string Origin(std::string_view bytes, size_t offset);

// The first bytes in hexadecimal.
std::string Hex(std::string_view bytes);

}  // namespace ckptfs::fsx
