// Which reads update access times.
#pragma once

namespace ckptfs {

// The terms of mount(8).
enum class AccessTimeRule {
  kDefault,   // that of the underlying mount, if there is one; else relatime
  kRelative,  // relatime: reads after a change, and one a day
  kStrict,    // strictatime: all
  kNone,      // noatime
};

struct AccessTimes {
  AccessTimeRule rule = AccessTimeRule::kDefault;
  bool spare_directories = false;  // nodiratime: listings update none
  // lazytime: if only timestamps of a file have changed, they are written out late. A filesystem that is
  // already mounted keeps its own setting.
  bool lazy = false;
};

}  // namespace ckptfs
