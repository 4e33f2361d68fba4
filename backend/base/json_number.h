// Numbers from untrusted JSON.
#pragma once

#include <cerrno>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "backend/base/error.h"

namespace ckptfs {

// An integer that fits into `Number`. Throws Error EUCLEAN for anything else: nlohmann::json would convert it
// to some number, or with undefined behaviour (1e300).
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
