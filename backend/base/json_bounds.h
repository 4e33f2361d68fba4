// Whether untrusted JSON may be parsed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ckptfs {

// JSON is parsed and printed recursively, and kept in memory. So these limits are checked before it is
// parsed.
struct JsonBounds {
  int depth_max = 64;            // levels of nested arrays and objects
  size_t values_max = SIZE_MAX;  // all values, including nested ones
  bool must_be_object = false;
};

enum class JsonVerdict { kGood, kMalformed, kNotAnObject, kTooDeep, kTooManyValues };

// Scans a text once, in linear time, and stores nothing of it. Stops at the first violation. nlohmann's own
// callbacks would take quadratic time in the number of values.
JsonVerdict CheckJson(std::string_view text, const JsonBounds& bounds);

}  // namespace ckptfs
