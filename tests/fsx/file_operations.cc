// Descriptors, times, and what brings data to the disk.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "tests/fsx/operations.h"

namespace ckptfs::fsx {
namespace {

void OpenFile(World& world) {
  constexpr int kModes[] = {O_RDONLY,
                            O_RDONLY,
                            O_RDWR,
                            O_RDWR,
                            O_WRONLY,
                            O_WRONLY | O_APPEND,
                            O_RDWR | O_APPEND,
                            O_RDWR | O_DIRECT,
                            O_RDONLY | O_DIRECT,
                            O_RDWR | O_TRUNC,
                            O_RDWR | O_DSYNC,
                            O_WRONLY | O_CREAT};
  world.Open(world.PickName(), kModes[world.Below(std::size(kModes))]);
}

void CloseFile(World& world) {
  if (world.handles.empty()) return;
  auto handle = world.handles.begin();
  std::advance(handle, world.Below(world.handles.size()));
  const InodePtr inode = handle->inode;
  world.Note(*inode, fmt::format("close what was opened with {:#o}", handle->flags));
  const int fd = handle->fd.Release();
  world.handles.erase(handle);
  world.Expect(close(fd), *inode, "close");
}

void Sync(World& world) {
  const Handle& handle = world.PickHandle([](const Handle&) { return true; }, O_RDONLY);
  if (!world.StateIsThere(*handle.inode)) return;
  const bool data_only = world.OneIn(2);
  world.Note(*handle.inode, data_only ? "fdatasync" : "fsync");
  world.Expect(data_only ? fdatasync(handle.fd.get()) : fsync(handle.fd.get()), *handle.inode,
               "fsync");
  world.Synced(*handle.inode);
}

// What is clean leaves the memory; the next read has to get it from the disk.
void DropPages(World& world) {
  const Handle& handle = world.PickHandle([](const Handle&) { return true; }, O_RDONLY);
  if (!world.StateIsThere(*handle.inode)) return;
  world.Note(*handle.inode, "fdatasync, and drop its pages");
  world.Expect(fdatasync(handle.fd.get()), *handle.inode, "fdatasync");
  world.Synced(*handle.inode);
  world.Expect(-posix_fadvise(handle.fd.get(), 0, 0, POSIX_FADV_DONTNEED), *handle.inode,
               "fadvise");
}

void Status(World& world) {
  if (!world.handles.empty() && world.OneIn(2)) {
    world.CheckStatus(world.PickHandle([](const Handle&) { return true; }, O_RDONLY).inode);
  } else {
    world.CheckStatus(world.live.at(world.PickName()));
  }
}

void SetTimes(World& world) {
  const std::string name = world.PickName();
  Inode& inode = *world.live.at(name);
  // A page that is written out later brings the daemon's time along.
  if (world.LearnsLate(inode) && inode.stores_pending) return;
  const timespec mtime{.tv_sec = static_cast<time_t>(world.Below(1'700'000'000)),
                       .tv_nsec = static_cast<long>(world.Below(1'000'000'000))};
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, mtime};
  world.Note(inode, fmt::format("set mtime to {}.{:09}", mtime.tv_sec, mtime.tv_nsec));
  world.Expect(utimensat(AT_FDCWD, world.Path(name).c_str(), times, 0), inode, "utimensat");
  inode.mtime_min_ns = int64_t{mtime.tv_sec} * 1'000'000'000 + mtime.tv_nsec;
  inode.mtime_ns = inode.mtime_min_ns;
}

void CheckAll(World& world) {
  world.NoteAll("check all files");
  world.CheckTree(world.directory(), world.live);
}

}  // namespace

std::vector<Operation> FileOperations() {
  return {{"open", 40, OpenFile},       {"close", 35, CloseFile}, {"sync", 8, Sync},
          {"drop pages", 6, DropPages}, {"status", 40, Status},   {"set times", 10, SetTimes},
          {"check all", 3, CheckAll}};
}

}  // namespace ckptfs::fsx
