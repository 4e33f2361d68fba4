// What `ckpt recover` writes down before it copies.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ckptfs::cli {

// Lets the next `ckpt recover` recognise what an earlier one left, and finish it.
struct RecoveryMark {
  std::string name;         // of the symlink that is replaced, in its directory
  std::string link;         // where that symlink leads
  std::string workspace;    // that it leads to
  std::string snapshot;     // that is copied
  std::string snapshot_id;  // its UUID
  uint64_t copy_inode = 0;  // the directory that the copy is made in

  bool operator==(const RecoveryMark&) const = default;
};

std::string FormatMark(const RecoveryMark& mark);
// Empty if the text is not by FormatMark.
std::optional<RecoveryMark> ParseMark(std::string_view text);

}  // namespace ckptfs::cli
