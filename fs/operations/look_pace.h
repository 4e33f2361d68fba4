// How often the settings of all workspaces are read.
#pragma once

#include <cstdint>

#include "fs/operations/automatic_due.h"

namespace ckptfs {

// Keeps the share of time that looks take small, however many workspaces there are, and the log short when
// looks fail. Used by one thread.
class LookPace {
 public:
  bool MayLook() const { return UpNs() >= rest_until_ns_; }
  // For a look of that length.
  void Looked(int64_t took_ns) { Rest(kShare * took_ns); }
  void Failed() { Rest(kRestAfterFailureNs); }

  static int64_t UpNs() { return ReadClocks().up_ns; }

 private:
  static constexpr int64_t kShare = 100;
  static constexpr int64_t kRestAfterFailureNs = int64_t{60} * 1'000'000'000;

  void Rest(int64_t time_ns) { rest_until_ns_ = UpNs() + time_ns; }

  int64_t rest_until_ns_ = 0;
};

}  // namespace ckptfs
