// The data that the tester writes into files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ckptfs::fsx {

inline constexpr size_t kPageBytes = 4096;

// The bytes that operation number `operation` writes to [offset, offset + length) of a file. Very few of them
// are zero or equal to what another operation writes there; any eight of them identify both numbers.
std::string Content(uint64_t operation, size_t offset, size_t length);

// Describes which operation wrote the bytes found at `offset`, and for which offset.
std::string Origin(std::string_view bytes, size_t offset);

// The first bytes in hexadecimal.
std::string Hex(std::string_view bytes);

}  // namespace ckptfs::fsx
