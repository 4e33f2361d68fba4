#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/fuse/fuse_kernel_cache.h"

#include <fuse_lowlevel.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace ckptfs {
namespace {

// The kernel's interface for backing files (Documentation/filesystems/fuse/fuse-passthrough.rst,
// struct fuse_backing_map); the headers of Debian 12 are older than it.
struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
constexpr unsigned long kBackingOpen = _IOW(229, 1, BackingMap);
constexpr unsigned long kBackingClose = _IOW(229, 2, uint32_t);

// A name that does not exist.
constexpr char kNoName[] = ".ckptfs-none";

void WarnUnlessUnknown(int result, const char* what) {
  // ENOENT: the kernel does not know that node (any more). ENODEV, ENOTCONN: it is being unmounted.
  if (result == 0 || result == -ENOENT || result == -ENODEV || result == -ENOTCONN) return;
  spdlog::warn("{}: {}", what, std::strerror(-result));
}

}  // namespace

void FuseKernelCache::Attach(std::shared_ptr<fuse_session> session) {
  const MutexLock lock(mutex_);
  session_.swap(session);
}

std::shared_ptr<fuse_session> FuseKernelCache::Session() const {
  const MutexLock lock(mutex_);
  return session_;
}

bool FuseKernelCache::InvalidateAttributes(NodeId node) noexcept {
  const auto session = Session();
  if (!session) return false;
  const int result = fuse_lowlevel_notify_inval_inode(session.get(), node, -1, 0);
  WarnUnlessUnknown(result, "drop cached attributes");
  return result == 0;
}

void FuseKernelCache::InvalidateContent(NodeId node, int64_t offset) noexcept {
  const auto session = Session();
  if (!session) return;
  WarnUnlessUnknown(fuse_lowlevel_notify_inval_inode(session.get(), node, offset, 0),
                    "drop cached content");
}

void FuseKernelCache::ZeroPages(NodeId node, int64_t begin, int64_t end) noexcept {
  const auto session = Session();
  if (!session) return;
  static const std::array<char, size_t{64} << 10> zeros{};  // the size of the largest page
  const auto size = static_cast<size_t>(end - begin);
  fuse_bufvec source{.count = 1};  // FUSE_BUFVEC_INIT is C only
  source.buf[0].size = std::min(size, zeros.size());
  source.buf[0].mem = const_cast<char*>(zeros.data());  // libfuse reads it
  WarnUnlessUnknown(fuse_lowlevel_notify_store(session.get(), node, begin, &source,
                                               static_cast<fuse_buf_copy_flags>(0)),
                    "store to cached pages");
}

void FuseKernelCache::ExpireName(NodeId directory, const std::string& name) noexcept {
  const auto session = Session();
  if (!session) return;
  WarnUnlessUnknown(
      fuse_lowlevel_notify_expire_entry(session.get(), directory, name.c_str(), name.size()),
      "expire a name");
}

void FuseKernelCache::DropNamesBelow(NodeId directory, const std::string& name) noexcept {
  const auto session = Session();
  if (!session) return;
  WarnUnlessUnknown(
      fuse_lowlevel_notify_inval_entry(session.get(), directory, name.c_str(), name.size()),
      "drop the names below a directory");
}

// The purpose is the lock that this takes, whether or not the name exists.
void FuseKernelCache::AwaitLookups(NodeId directory) noexcept { ExpireName(directory, kNoName); }

int FuseKernelCache::OpenBacking(int fd) noexcept {
  const BackingMap map{.fd = fd, .flags = 0, .padding = 0};
  const auto session = Session();
  if (!session) return -ENODEV;
  const int id = ioctl(fuse_session_fd(session.get()), kBackingOpen, &map);
  return id < 0 ? -errno : id;
}

void FuseKernelCache::CloseBacking(int backing_id) noexcept {
  const uint32_t id = static_cast<uint32_t>(backing_id);
  const auto session = Session();
  if (session && ioctl(fuse_session_fd(session.get()), kBackingClose, &id) != 0) {
    WarnUnlessUnknown(-errno, "close a backing file");
  }
}

}  // namespace ckptfs
