// Packs numbers and texts into one string of bytes, for processes of the same program.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "backend/base/error.h"

namespace ckptfs {

// Packs values, in native byte order.
class Packer {
 public:
  Packer& Number(uint64_t number) {
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof(number));
    return *this;
  }
  Packer& Text(std::string_view text) {
    Number(text.size());
    bytes_ += text;
    return *this;
  }
  const std::string& bytes() const noexcept { return bytes_; }

 private:
  std::string bytes_;
};

// Unpacks values in the same order. Throws Error EBADMSG if there are no more.
class Unpacker {
 public:
  // The bytes must outlive this object.
  explicit Unpacker(std::string_view bytes) : bytes_(bytes) {}

  uint64_t Number() {
    uint64_t number = 0;
    const std::string_view taken = Take(sizeof(number));
    std::memcpy(&number, taken.data(), sizeof(number));
    return number;
  }
  std::string Text() { return std::string(Take(Number())); }
  bool empty() const noexcept { return bytes_.empty(); }

 private:
  std::string_view Take(uint64_t size) {
    if (bytes_.size() < size) throw Error(EBADMSG, "read a message of a helper process");
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  std::string_view bytes_;
};

}  // namespace ckptfs
