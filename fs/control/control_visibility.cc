#include "fs/control/control_visibility.h"

#include <fcntl.h>

#include <cerrno>
#include <climits>

#include "backend/base/error.h"
#include "backend/base/open_beneath.h"
#include "fs/nodes/thread_credentials.h"

namespace ckptfs::control {
namespace {

// "" for what stands in the root.
std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

}  // namespace

bool VisibleNames::MayList(const std::string& directory) {
  const auto found = known_.find(directory);
  if (found != known_.end()) return found->second;
  const std::string_view path = directory.empty() ? "." : std::string_view(directory);
  int error = 0;
  {
    const SeeAs as(caller_.uid, caller_.gid, caller_.groups);
    const UniqueFd fd = OpenLongBeneath(volume_->root_fd(), path, O_RDONLY | O_DIRECTORY);
    if (!fd.valid()) error = errno;
  }
  const bool is_gone = error == ENOENT || error == ENOTDIR || error == ELOOP;
  const bool may = is_gone && !directory.empty() ? MayList(DirectoryOf(directory)) : error == 0;
  Remember(directory, may);
  return may;
}

// Changes come sorted: the directories of the last ones are those of the next.
void VisibleNames::Remember(const std::string& directory, bool may) {
  constexpr size_t kKnownBytesMax = size_t{512} << 10;
  constexpr size_t kEntryBytes = 96;
  if (directory.size() > PATH_MAX) return;
  if (known_bytes_ > kKnownBytesMax) {
    known_.clear();
    known_bytes_ = 0;
  }
  known_bytes_ += directory.size() + kEntryBytes;
  known_[directory] = may;
}

bool VisibleNames::Shows(const std::string& path) {
  if (caller_.uid == 0) return true;
  try {
    if (!volume_) volume_ = backend_.Open(id_);
  } catch (const Error& error) {
    if (error.errno_value() != ENOENT) throw;
    return false;
  }
  return MayList(DirectoryOf(path));
}

bool Shows(const DiffEntry& change, VisibleNames& older, VisibleNames& newer) {
  switch (change.kind) {
    case DiffKind::kRemoved:
      return older.Shows(change.path);
    case DiffKind::kRenamed:
      return older.Shows(change.old_path) && newer.Shows(change.path);
    case DiffKind::kAdded:
    case DiffKind::kModified:
      return newer.Shows(change.path);
  }
  return false;
}

}  // namespace ckptfs::control
