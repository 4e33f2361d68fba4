// Which reads change access times.
#pragma once

namespace ckptfs {

// In the words of mount(8).
enum class AccessTimeRule {
  kDefault,   // that of the mount underneath, where there is one; else relatime
  kRelative,  // relatime: those that follow a change, and one a day
  kStrict,    // strictatime: all
  kNone,      // noatime
};

struct AccessTimes {
  AccessTimeRule rule = AccessTimeRule::kDefault;
  bool spare_directories = false;  // nodiratime: listings change none
  // lazytime: that of a file which nothing else has changed is written out late. A filesystem that is mounted
  // already goes by its own option.
  bool lazy = false;
};

}  // namespace ckptfs
