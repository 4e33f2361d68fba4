// forgetful_disk: a FUSE filesystem of two files, for a loop device to lie on.
//
// usage: forgetful_disk FILE SEED DIRECTORY
//
//   DIRECTORY/disk    the disk; FILE has what would be there if the power went now
//   DIRECTORY/power   "off", "off N" (after N more writes) and "on" can be written to it; reading tells how
//                     it is
//
// It stays in the foreground until it is unmounted. fsync(2) of `disk` is the flush; what was written since the
// last one a cut takes away in part, see disk.h. While the power is off, the disk gives EIO.
#define FUSE_USE_VERSION 314

#include <fcntl.h>
#include <fuse.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>

#include "backend/base/error.h"
#include "tests/powercut/disk.h"

namespace ckptfs::powercut {
namespace {

constexpr std::string_view kDisk = "/disk";
constexpr std::string_view kPower = "/power";

Disk& TheDisk() { return *static_cast<Disk*>(fuse_get_context()->private_data); }

// The answer of `operation`, and of what it throws.
template <typename Operation>
int Answer(const Operation& operation) {
  try {
    return operation();
  } catch (const Error& error) {
    std::fprintf(stderr, "forgetful_disk: %s\n", error.what());
    return -error.errno_value();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "forgetful_disk: %s\n", error.what());
    return -EIO;
  }
}

int GetAttributes(const char* path, struct stat* status, fuse_file_info* /*file*/) {
  *status = {};
  if (path == std::string_view("/")) {
    status->st_mode = S_IFDIR | 0700;
    status->st_nlink = 2;
    return 0;
  }
  if (path != kDisk && path != kPower) return -ENOENT;
  status->st_mode = S_IFREG | 0600;
  status->st_nlink = 1;
  status->st_blksize = Disk::kBlock;
  if (path == kDisk) status->st_size = TheDisk().size();
  return 0;
}

int List(const char* /*path*/, void* list, fuse_fill_dir_t add, off_t /*offset*/,
         fuse_file_info* /*file*/, fuse_readdir_flags /*flags*/) {
  for (const std::string_view name : {kDisk, kPower}) {
    add(list, name.data() + 1, nullptr, 0, FUSE_FILL_DIR_DEFAULTS);
  }
  return 0;
}

// Nothing of it stays in the kernel, which would know what the disk has forgotten.
int Open(const char* path, fuse_file_info* file) {
  if (path != kDisk && path != kPower) return -ENOENT;
  file->direct_io = 1;
  file->parallel_direct_writes = 1;
  return 0;
}

int Read(const char* path, char* to, size_t size, off_t offset, fuse_file_info* /*file*/) {
  return Answer([&] {
    if (path == kDisk) return TheDisk().Read({to, size}, offset);
    const std::string text = TheDisk().Describe();
    if (offset >= static_cast<off_t>(text.size())) return 0;
    return static_cast<int>(text.copy(to, size, static_cast<size_t>(offset)));
  });
}

int SetPower(std::string_view words) {
  const std::string line(words.substr(0, words.find('\n')));
  unsigned writes = 0;
  if (line == "on") {
    TheDisk().RestorePower();
  } else if (line == "off" || std::sscanf(line.c_str(), "off %u", &writes) == 1) {
    TheDisk().CutPower(writes);
  } else {
    return -EINVAL;
  }
  return static_cast<int>(words.size());
}

int Write(const char* path, const char* from, size_t size, off_t offset, fuse_file_info* /*file*/) {
  return Answer([&] {
    return path == kDisk ? TheDisk().Write({from, size}, offset) : SetPower({from, size});
  });
}

int Truncate(const char* path, off_t /*size*/, fuse_file_info* /*file*/) {
  return path == kPower ? 0 : -EPERM;
}

int Flush(const char* path, int /*data_only*/, fuse_file_info* /*file*/) {
  return Answer([&] { return path == kDisk ? TheDisk().Flush() : 0; });
}

fuse_operations Operations() {
  fuse_operations operations{};
  operations.getattr = GetAttributes;
  operations.readdir = List;
  operations.open = Open;
  operations.read = Read;
  operations.write = Write;
  operations.truncate = Truncate;
  operations.fsync = Flush;
  return operations;
}

int Serve(std::string program, const char* path, const char* seed, std::string directory) {
  UniqueFd file(CheckSyscall(open(path, O_RDWR | O_CLOEXEC), "open " + std::string(path)));
  Disk disk(std::move(file), std::strtoull(seed, nullptr, 10));
  const fuse_operations operations = Operations();
  std::array<char, 3> foreground{"-f"};
  std::array<char*, 4> arguments{program.data(), foreground.data(), directory.data(), nullptr};
  return fuse_main(3, arguments.data(), &operations, &disk);
}

}  // namespace
}  // namespace ckptfs::powercut

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: forgetful_disk FILE SEED DIRECTORY\n");
    return 2;
  }
  try {
    return ckptfs::powercut::Serve(argv[0], argv[1], argv[2], argv[3]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "forgetful_disk: %s\n", error.what());
    return 1;
  }
}
