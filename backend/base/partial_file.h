// Files that exist completely or not at all.
#pragma once

#include <string>
#include <string_view>

#include "backend/base/unique_fd.h"

namespace ckptfs {

inline constexpr std::string_view kPartialSuffix = ".partial";

// A new file under a temporary name. Unless Keep is called, the destructor removes it. If the process dies,
// the temporary file is debris: the next PartialFile of that name replaces it, and RemovePartialFiles removes
// it. Used by one thread.
class PartialFile {
 public:
  // `directory_fd` must stay open. Throws Error.
  PartialFile(int directory_fd, std::string name);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  int fd() const noexcept { return fd_.get(); }
  // Appends the text. ENOSPC if it does not fit completely.
  void Write(std::string_view text);
  const std::string& partial_name() const noexcept { return partial_name_; }

  // Gives the file its name: EEXIST if that is taken. File and name are durable on return. `failpoint` is
  // reached when the file has its name, before that is durable.
  void Keep(std::string_view failpoint = {});

 private:
  const int directory_fd_;
  const std::string name_;
  const std::string partial_name_;
  UniqueFd fd_;
  bool kept_ = false;
};

// Removes those in the whole directory. Nobody may be writing one at the time.
void RemovePartialFiles(int directory_fd);

}  // namespace ckptfs
