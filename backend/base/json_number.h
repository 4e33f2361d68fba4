// Numbers out of JSON that somebody else may have written.
#pragma once

#include <cerrno>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "backend/base/error.h"

namespace ckptfs {

// A whole number that a `Number` can hold. Throws Error EUCLEAN for anything else, of which nlohmann::json makes
// some number, or what is undefined (1e300).
template <typename Number>
Number WholeNumber(const nlohmann::json& json) {
  if (json.is_number_unsigned()) {
    const auto number = json.get<uint64_t>();
    if (std::in_range<Number>(number)) return static_cast<Number>(number);
  } else if (json.is_number_integer()) {
    const auto number = json.get<int64_t>();
    if (std::in_range<Number>(number)) return static_cast<Number>(number);
  }
  throw Error(EUCLEAN, "read a number", "something else is in its place, or it is out of range");
}

}  // namespace ckptfs
