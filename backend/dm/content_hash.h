// Whether the content of a file is what it was.
#pragma once

#include <string>

namespace ckptfs {

// SHA-256 of a file's size and of those of its pieces of 64 KiB that are not all zeros, each with its
// place; 64 digits. So holes cost nothing, and a copy with other holes has the same. Throws Error. Takes
// as long as reading the file.
std::string HashContent(int fd);

}  // namespace ckptfs
