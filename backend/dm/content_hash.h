// Detects changes to the content of a file.
#pragma once

#include <string>

namespace ckptfs {

// SHA-256, as 64 digits, of a file's size and of the hashes of its nonzero 64 KiB pieces, each with its
// offset. So holes cost nothing, and a copy with different holes has the same hash. Throws Error. Takes as
// long as reading the file.
std::string HashContent(int fd);

}  // namespace ckptfs
