#include "backend/base/uuid.h"

#include <uuid/uuid.h>

#include <array>

namespace ckptfs {

Uuid Uuid::Generate() {
  uuid_t bytes;
  uuid_generate_random(bytes);
  std::array<char, UUID_STR_LEN> text{};
  uuid_unparse_lower(bytes, text.data());
  return Uuid(std::string(text.data()));
}

std::optional<Uuid> Uuid::Parse(std::string_view text) {
  uuid_t bytes;
  const std::string copy(text);
  if (copy.size() != UUID_STR_LEN - 1 || uuid_parse(copy.c_str(), bytes) != 0) return std::nullopt;
  std::array<char, UUID_STR_LEN> canonical{};
  uuid_unparse_lower(bytes, canonical.data());
  if (copy != canonical.data()) return std::nullopt;
  return Uuid(copy);
}

}  // namespace ckptfs
