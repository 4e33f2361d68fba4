#include "fs/open/mapped_files.h"

#include <fcntl.h>

#include <cerrno>
#include <memory>

#include "backend/base/error.h"
#include "fs/open/open_data.h"

namespace ckptfs {

// Whether anything can still write to the file: then a read lease is refused (fcntl(2), F_SETLEASE). The
// lease is released at once, before the file can be opened through the mount: otherwise the kernel's own open
// of a backing file for writing would fail if the program had said O_NONBLOCK. Opens from elsewhere wait; the
// signal that reports them is ignored (FuseMount).
bool MappedFiles::IsOpenUnderneath(NodeId node) const {
  // Without passthrough, mappings are the kernel's own and RELEASE comes after the last of them; the daemon's
  // descriptor would be taken for a writer.
  if (!open_files_.passthrough() || open_files_.DataFd(node)) return false;
  const std::shared_ptr<View> view = slots_.Find(SlotOf(node));
  if (!view) return false;
  try {
    const UniqueFd fd =
        OpenData(*volumes_.OfFiles(*view), {.inode = InodeOf(node)}, O_RDONLY | O_NOATIME);
    return open_files_.HasWritersOr(node, [&] {
      if (fcntl(fd.get(), F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN;
      fcntl(fd.get(), F_SETLEASE, F_UNLCK);
      return false;
    });
  } catch (const Error& error) {
    // It has lost its last name or its data, so its attributes will not be requested. Or it cannot be checked
    // at the moment.
    const int reason = error.errno_value();
    return reason == EMFILE || reason == ENFILE || reason == ENOMEM;
  }
}

bool MappedFiles::LookAgain(NodeId node) {
  const uint64_t number = inodes_.MaybeMapped(node);
  if (number == 0) return false;
  if (IsOpenUnderneath(node)) return true;
  inodes_.NotMapped(node, number);
  return inodes_.MaybeMapped(node) != 0;
}

void MappedFiles::LookAtAll(Slot slot) {
  for (const NodeId node : inodes_.MaybeMappedOf(slot)) LookAgain(node);
}

bool MappedFiles::LookAtSome() {
  constexpr size_t kOldOnes = 500;  // takes a millisecond or two
  for (const NodeId node : inodes_.NextMaybeMapped(kOldOnes)) LookAgain(node);
  return inodes_.has_maybe_mapped();
}

std::vector<WriterHandle> MappedFiles::Writers(Slot slot) {
  std::vector<WriterHandle> writers = open_files_.Writers(slot);
  for (const NodeId node : inodes_.MaybeMappedOf(slot)) {
    if (LookAgain(node)) writers.push_back({.node = node, .pid = 0});
  }
  return writers;
}

}  // namespace ckptfs
