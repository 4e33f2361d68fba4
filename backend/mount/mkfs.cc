#include "backend/mount/mkfs.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/error.h"
#include "backend/mount/program.h"

namespace ckptfs {
namespace {

void MakeFilesystem(const Program& mkfs, std::vector<std::string> arguments, int image_fd) {
  const ProgramResult result = RunProgram(mkfs, std::move(arguments), image_fd);
  if (result.ExitedWith(0)) return;
  const bool full = result.output.find("No space left on device") != std::string::npos;
  throw Error(full ? ENOSPC : EIO, "make a filesystem with " + mkfs.name, result.Words(),
              full ? "Free some space on the disk of the store" : "");
}

}  // namespace

void MakeBtrfs(int image_fd) {
  MakeFilesystem({.name = "mkfs.btrfs", .package = "btrfs-progs"},
                 {"-q", "-f", "-L", "ckptfs", "-d", "single"}, image_fd);
}

void MakeExt4(int image_fd) {
  constexpr char kNothingLeftToDo[] =
      "lazy_itable_init=0,lazy_journal_init=0,assume_storage_prezeroed=1,nodiscard";
  struct stat image {};
  CheckSyscall(fstat(image_fd, &image), "look at an image");
  const int64_t journal_mib = std::clamp(image.st_size >> 25, int64_t{4}, int64_t{32});
  MakeFilesystem({.name = "mkfs.ext4", .package = "e2fsprogs"},
                 {"-q", "-F", "-L", "ckptfs", "-b", "4096", "-m", "0", "-J",
                  fmt::format("size={}", journal_mib), "-E", kNothingLeftToDo},
                 image_fd);
}

void MakeXfs(int image_fd) {
  MakeFilesystem({.name = "mkfs.xfs", .package = "xfsprogs"},
                 {"-q", "-f", "-K", "-L", "ckptfs", "-s", "size=4096"}, image_fd);
}

}  // namespace ckptfs
