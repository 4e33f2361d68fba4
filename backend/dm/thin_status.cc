#include "backend/dm/thin_status.h"

#include <sstream>

namespace ckptfs {

std::optional<ThinPoolStatus> ParseThinPoolStatus(const std::string& status) {
  using Mode = ThinPoolStatus::Mode;
  if (status == "Fail") return ThinPoolStatus{.mode = Mode::kFailed};
  // "1 14/4096 0/8192 - rw no_discard_passdown error_if_no_space - 1024": transaction, metadata and data,
  // held root, mode, three settings and the watermark.
  std::istringstream words(status);
  ThinPoolStatus parsed;
  char slash = 0;
  char slash2 = 0;
  std::string held_root;
  std::string mode;
  if (!(words >> parsed.transaction >> parsed.used_metadata >> slash >> parsed.total_metadata >>
        parsed.used_data >> slash2 >> parsed.total_data >> held_root >> mode) ||
      slash != '/' || slash2 != '/') {
    return std::nullopt;
  }
  parsed.holds_snapshot = held_root != "-";
  if (mode == "out_of_data_space") {
    parsed.mode = Mode::kOutOfDataSpace;
  } else if (mode == "ro") {
    parsed.mode = Mode::kReadOnly;
  } else if (mode != "rw") {
    return std::nullopt;
  }
  for (std::string word; words >> word;) {
    if (word == "needs_check") parsed.needs_check = true;
  }
  return parsed;
}

}  // namespace ckptfs
