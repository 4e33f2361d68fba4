// Files that exist completely or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

// Whether files of that name, without the suffix, are ours.
using IsOwnName = std::function<bool(std::string_view name)>;

// Removes those of our own in the directory. Nobody may be writing one at the time.
void RemovePartialFiles(int directory_fd, const IsOwnName& is_own);

// --- Files that nobody finishes ------------------------------------------------------------------

// Notes that the file is being written, until its last descriptor is closed: also by a process that dies.
// PartialFile does this. A loop device on it counts as a descriptor.
void MarkBeingWritten(int fd) noexcept;

struct UnfinishedFile {
  std::string name;
  uint64_t bytes = 0;  // on disk
  int64_t changed_ns = 0;
};
// Empty if it is no regular file, or being written, or that is unknown.
std::optional<UnfinishedFile> FindUnfinishedFile(int directory_fd, const std::string& name);
// Those PartialFiles of our own that nobody is writing.
std::vector<UnfinishedFile> FindPartialFiles(int directory_fd, const IsOwnName& is_own);
// Removes a file that FindUnfinishedFile finds; false if it finds none any more. Throws Error.
bool RemoveUnfinishedFile(int directory_fd, const std::string& name);

}  // namespace ckptfs
