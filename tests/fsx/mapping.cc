#include "tests/fsx/mapping.h"

#include <fmt/format.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace ckptfs::fsx {
namespace {

sigjmp_buf after_bus_error;
volatile sig_atomic_t in_copy = 0;

void OnBusError(int signal_number) {
  if (in_copy != 0) siglongjmp(after_bus_error, 1);
  // Not ours: happens again, and ends the process.
  signal(signal_number, SIG_DFL);
}

// False: a bus error. Holds nothing that a jump out of it would leave behind.
bool CopyUnlessBusError(char* to, const char* from, size_t length) {
  struct sigaction action {};
  action.sa_handler = OnBusError;
  sigaction(SIGBUS, &action, nullptr);
  if (sigsetjmp(after_bus_error, 1) != 0) {
    in_copy = 0;
    return false;
  }
  in_copy = 1;
  std::memcpy(to, from, length);
  in_copy = 0;
  return true;
}

}  // namespace

Mapping::Mapping(int fd, InodePtr inode, size_t offset, size_t length, Access access,
                 bool by_writer)
    : inode_(std::move(inode)),
      offset_(offset),
      length_(length),
      access_(access),
      by_writer_(by_writer),
      address_(static_cast<char*>(
          mmap(nullptr, length, access == Access::kReadWrite ? PROT_READ | PROT_WRITE : PROT_READ,
               MAP_SHARED, fd, static_cast<off_t>(offset)))) {
  if (address_ == MAP_FAILED) {
    throw Mismatch(inode_->id, fmt::format("mmap: {}", std::strerror(errno)));
  }
}

Mapping::~Mapping() { munmap(address_, length_); }

std::string Mapping::Load(size_t offset, size_t length) const {
  std::string bytes(length, '\0');
  if (!CopyUnlessBusError(bytes.data(), address_ + (offset - offset_), length)) {
    throw Mismatch(inode_->id, fmt::format("bus error: a load of {} at {} of {}", length, offset,
                                           inode_->bytes.size()));
  }
  return bytes;
}

void Mapping::Store(size_t offset, std::string_view data) const {
  if (!CopyUnlessBusError(address_ + (offset - offset_), data.data(), data.size())) {
    throw Mismatch(inode_->id, fmt::format("bus error: a store of {} at {} of {}", data.size(),
                                           offset, inode_->bytes.size()));
  }
}

void Mapping::Sync(int flags) const {
  if (msync(address_, length_, flags) != 0) {
    throw Mismatch(inode_->id, fmt::format("msync: {}", std::strerror(errno)));
  }
}

}  // namespace ckptfs::fsx
