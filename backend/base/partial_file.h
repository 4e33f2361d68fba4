// Files that are there whole or not at all.
#pragma once

#include <string>
#include <string_view>

#include "backend/base/unique_fd.h"

namespace ckptfs {

inline constexpr std::string_view kPartialSuffix = ".partial";

// A new file while it has no name yet that anybody would take for the real one. Unless Keep is called it
// is removed at the end; where a process died it is debris, which the next of its name replaces and
// RemovePartialFiles removes. For one thread.
class PartialFile {
 public:
  // `directory_fd` must stay open. Throws Error.
  PartialFile(int directory_fd, std::string name);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  int fd() const noexcept { return fd_.get(); }
  // Adds to it. ENOSPC if not all of the text has room.
  void Write(std::string_view text);
  const std::string& partial_name() const noexcept { return partial_name_; }

  // Gives the file its name: EEXIST if that is taken. File and name are durable on return. `failpoint` is
  // passed when the file has its name, before that is durable.
  void Keep(std::string_view failpoint = {});

 private:
  const int directory_fd_;
  const std::string name_;
  const std::string partial_name_;
  UniqueFd fd_;
  bool kept_ = false;
};

// Of the whole directory. Nobody may be making any at the time.
void RemovePartialFiles(int directory_fd);

}  // namespace ckptfs
