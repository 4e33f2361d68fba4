// Sends long listings in several lines.
#pragma once

#include <cstddef>
#include <utility>

#include "fs/control/control_requests.h"

namespace ckptfs::control {

// Sends the elements of a listing in lines of some hundred each. Used by one thread.
class ItemSender {
 public:
  explicit ItemSender(Answer& answer) : answer_(answer) {}
  // `bytes`: the size of the texts in it.
  void Add(wire::Json item, size_t bytes) {
    items_.push_back(std::move(item));
    bytes_ += bytes;
    if (items_.size() >= kItemsPerLine || bytes_ >= kBytesPerLine) Flush();
  }
  void Flush() {
    if (items_.empty()) return;
    wire::Json line;
    line[wire::kItems] = std::exchange(items_, wire::Json::array());
    bytes_ = 0;
    answer_.Send(std::move(line));
  }

 private:
  // Limits for one line: elements, and the approximate bytes of their texts.
  static constexpr size_t kItemsPerLine = 500;
  static constexpr size_t kBytesPerLine = size_t{32} << 10;

  Answer& answer_;
  wire::Json items_ = wire::Json::array();
  size_t bytes_ = 0;
};

}  // namespace ckptfs::control
