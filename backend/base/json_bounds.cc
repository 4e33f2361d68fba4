#include "backend/base/json_bounds.h"

#include <nlohmann/json.hpp>
#include <string>

namespace ckptfs {
namespace {

using Json = nlohmann::json;

// Counts values. Json::sax_parse prescribes the function names. Each returns whether to go on.
class JsonCounter {
 public:
  explicit JsonCounter(const JsonBounds& bounds) : bounds_(bounds) {}

  JsonVerdict verdict() const { return verdict_; }

  // NOLINTBEGIN(readability-identifier-naming,google-runtime-int)
  bool null() { return Count(); }
  bool boolean(bool /*value*/) { return Count(); }
  bool number_integer(Json::number_integer_t /*value*/) { return Count(); }
  bool number_unsigned(Json::number_unsigned_t /*value*/) { return Count(); }
  bool number_float(Json::number_float_t /*value*/, const std::string& /*text*/) { return Count(); }
  bool string(std::string& /*value*/) { return Count(); }
  bool binary(Json::binary_t& /*value*/) { return Count(); }
  bool start_object(size_t /*size*/) { return Open(true); }
  bool key(std::string& /*name*/) { return true; }
  bool end_object() { return Close(); }
  bool start_array(size_t /*size*/) { return Open(false); }
  bool end_array() { return Close(); }
  bool parse_error(size_t /*at*/, const std::string& /*token*/, const Json::exception& /*error*/) {
    return End(JsonVerdict::kMalformed);
  }
  // NOLINTEND(readability-identifier-naming,google-runtime-int)

 private:
  bool End(JsonVerdict verdict) {
    verdict_ = verdict;
    return false;
  }
  bool Count(bool is_object = false) {
    if (values_ == 0 && bounds_.must_be_object && !is_object) return End(JsonVerdict::kNotAnObject);
    if (open_ > bounds_.depth_max) return End(JsonVerdict::kTooDeep);
    if (++values_ > bounds_.values_max) return End(JsonVerdict::kTooManyValues);
    return true;
  }
  bool Open(bool is_object) {
    if (!Count(is_object)) return false;
    ++open_;
    return true;
  }
  bool Close() {
    --open_;
    return true;
  }

  const JsonBounds bounds_;
  int open_ = 0;  // unclosed arrays and objects
  size_t values_ = 0;
  JsonVerdict verdict_ = JsonVerdict::kGood;
};

}  // namespace

JsonVerdict CheckJson(std::string_view text, const JsonBounds& bounds) {
  JsonCounter counter(bounds);
  Json::sax_parse(text.begin(), text.end(), &counter);
  return counter.verdict();
}

}  // namespace ckptfs
