#include "backend/base/error.h"

#include <cerrno>

namespace ckptfs {

Error::Error(int errno_value, std::string_view attempted, std::string_view why,
             std::string_view hint)
    : std::system_error(errno_value, std::generic_category()),
      attempted_(attempted),
      why_(why.empty() ? std::generic_category().message(errno_value) : std::string(why)),
      hint_(hint) {
  line_ = attempted_ + ": " + why_;
  if (!hint_.empty()) line_ += ". " + hint_ + ".";
}

void ThrowErrno(std::string_view attempted, std::string_view hint) {
  throw Error(errno, attempted, {}, hint);
}

}  // namespace ckptfs
