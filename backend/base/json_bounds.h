// Whether JSON that a stranger wrote may be parsed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ckptfs {

// What is read and printed by recursion, or held in memory, is bounded before anything is made of it.
struct JsonBounds {
  int depth_max = 64;            // of what stands in so many arrays and objects at the most
  size_t values_max = SIZE_MAX;  // all values, those in others too
  bool must_be_object = false;
};

enum class JsonVerdict { kGood, kMalformed, kNotAnObject, kTooDeep, kTooManyValues };

// Looks through a text once, in time proportional to its length, without keeping anything of it. Ends at the
// first thing that is wrong. nlohmann's own callbacks would cost the square of the number of values.
JsonVerdict CheckJson(std::string_view text, const JsonBounds& bounds);

}  // namespace ckptfs
