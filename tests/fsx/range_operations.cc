// Sizes, holes and copies.
#include <fmt/format.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tests/fsx/operations.h"

namespace ckptfs::fsx {
namespace {

bool IsPlainWriter(const Handle& handle) {
  return handle.writable() && !handle.append() && !handle.direct();
}

size_t PickSize(World& world, const Inode& inode) {
  const size_t size = inode.bytes.size();
  switch (world.Below(6)) {
    case 0:
      return 0;
    case 1:
      return size - std::min(size, world.Below(2 * kPageBytes));
    case 2:
      return std::min(inode.size_max, size + world.Below(2 * kPageBytes));
    case 3:
      return world.Below(inode.size_max) / kPageBytes * kPageBytes;
    default:
      return world.Below(inode.size_max);
  }
}

void Truncate(World& world) {
  const bool by_name = world.OneIn(3);
  std::string name;
  InodePtr inode;
  int fd = -1;
  if (by_name) {
    name = world.PickName();
    inode = world.live.at(name);
  } else {
    const Handle& handle = world.PickHandle([](const Handle& h) { return h.writable(); }, O_RDWR);
    inode = handle.inode;
    fd = handle.fd.get();
  }
  const size_t size = PickSize(world, *inode);
  world.Note(*inode, fmt::format("{} from {} to {}", by_name ? "truncate" : "ftruncate",
                                 inode->bytes.size(), size));
  const int64_t now = NowNs();
  world.Expect(by_name ? truncate(world.Path(name).c_str(), static_cast<off_t>(size))
                       : ftruncate(fd, static_cast<off_t>(size)),
               *inode, "truncate");
  if (size == inode->bytes.size()) {
    inode->MayHaveChanged();
  } else {
    inode->Changed(now);
  }
  inode->Resize(size);
}

// fallocate(2) in all modes that btrfs has.
void Fallocate(World& world, int mode, const char* what) {
  const Handle& handle = world.PickHandle([](const Handle& h) { return h.writable(); }, O_RDWR);
  Inode& inode = *handle.inode;
  const Range range = world.PickRange(inode, false);
  world.Note(inode, fmt::format("{} {} at {}", what, range.length, range.offset));
  const int64_t now = NowNs();
  world.Expect(fallocate(handle.fd.get(), mode, static_cast<off_t>(range.offset),
                         static_cast<off_t>(range.length)),
               inode, what);
  const std::string before = inode.bytes;
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0) inode.Resize(std::max(before.size(), range.end()));
  if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
    inode.Clear(range.offset, range.length);
  }
  if (inode.bytes == before) {
    inode.MayHaveChanged();  // a hole in a hole is no change
  } else {
    inode.Changed(now);
  }
}

void Allocate(World& world) {
  if (world.OneIn(2)) {
    Fallocate(world, 0, "allocate");
  } else {
    Fallocate(world, FALLOC_FL_KEEP_SIZE, "allocate, keeping the size,");
  }
}

void Punch(World& world) { Fallocate(world, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "punch"); }

void Zero(World& world) {
  if (world.OneIn(2)) {
    Fallocate(world, FALLOC_FL_ZERO_RANGE, "zero");
  } else {
    Fallocate(world, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, "zero, keeping the size,");
  }
}

// btrfs can neither take ranges out nor put them in.
void ShiftRange(World& world) {
  const Handle& handle = world.PickHandle(IsPlainWriter, O_RDWR);
  const int mode = world.OneIn(2) ? FALLOC_FL_COLLAPSE_RANGE : FALLOC_FL_INSERT_RANGE;
  world.Note(*handle.inode, "collapse or insert");
  world.ExpectErrno(EOPNOTSUPP, fallocate(handle.fd.get(), mode, 0, kPageBytes), *handle.inode,
                    "collapse or insert");
}

void CopyRange(World& world) {
  Handle& source =
      world.PickHandle([](const Handle& h) { return h.readable() && !h.direct(); }, O_RDONLY);
  // Another open may close the source: what is needed of it is kept.
  const InodePtr from = source.inode;
  const UniqueFd in(dup(source.fd.get()));
  const Handle& target = world.PickHandle(IsPlainWriter, O_RDWR);
  Inode& to = *target.inode;
  const Range part = world.PickPart(*from, 0, from->bytes.size());
  Range range = world.PickRange(to, false);
  if (world.OneIn(2)) {
    range.offset = range.offset / kPageBytes * kPageBytes + part.offset % kPageBytes;
  }
  if (part.length == 0 || range.offset >= to.size_max || !world.StateIsThere(*from)) return;
  range.length = std::min(part.length, to.size_max - range.offset);
  if (from.get() == &to && part.offset < range.end() && range.offset < part.offset + range.length) {
    return;  // EINVAL
  }
  world.NoteFiles({from->id, to.id},
                  fmt::format("copy {} from file {} at {} to file {} at {}", range.length, from->id,
                              part.offset, to.id, range.offset));
  const std::string data = from->bytes.substr(part.offset, range.length);
  auto in_at = static_cast<off_t>(part.offset);
  auto out_at = static_cast<off_t>(range.offset);
  const int64_t now = NowNs();
  for (size_t left = range.length; left > 0;) {
    const long copied = world.Expect(
        copy_file_range(in.get(), &in_at, target.fd.get(), &out_at, left, 0), to, "copy");
    if (copied == 0) throw Mismatch(to.id, fmt::format("copy ended {} early", left));
    left -= static_cast<size_t>(copied);
  }
  to.Overwrite(range.offset, data);
  to.Changed(now);
}

void ExpectHole(const Inode& inode, size_t begin, size_t end) {
  const auto found = inode.bytes.find_first_not_of('\0', begin);
  if (found >= end) return;
  throw Mismatch(inode.id, fmt::format("a hole from {} to {}, but there is data at {}: {}", begin,
                                       end, found, Origin(inode.bytes.substr(found, 16), found)));
}

// What a file says of its holes may be less than there is, and never more.
void Seek(World& world) {
  const Handle& handle = world.PickHandle([](const Handle&) { return true; }, O_RDONLY);
  const Inode& inode = *handle.inode;
  if (!world.StateIsThere(inode)) return;
  const size_t size = inode.bytes.size();
  const size_t from = world.Below(size + size / 16 + 1);
  world.Note(inode, fmt::format("seek from {}", from));
  const int fd = handle.fd.get();
  if (from >= size) {
    world.ExpectErrno(ENXIO, lseek(fd, static_cast<off_t>(from), SEEK_DATA), inode, "seek data");
    world.ExpectErrno(ENXIO, lseek(fd, static_cast<off_t>(from), SEEK_HOLE), inode, "seek hole");
    return;
  }
  const off_t data = lseek(fd, static_cast<off_t>(from), SEEK_DATA);
  if (data < 0) world.ExpectErrno(ENXIO, data, inode, "seek data");
  const size_t data_at = data < 0 ? size : static_cast<size_t>(data);
  const auto hole_at = static_cast<size_t>(
      world.Expect(lseek(fd, static_cast<off_t>(from), SEEK_HOLE), inode, "seek hole"));
  if (data_at < from || data_at > size || hole_at < from || hole_at > size) {
    throw Mismatch(inode.id, fmt::format("seek from {} of {}: data at {}, a hole at {}", from, size,
                                         data_at, hole_at));
  }
  ExpectHole(inode, from, data_at);
  const off_t next = lseek(fd, static_cast<off_t>(hole_at), SEEK_DATA);
  if (hole_at < size) ExpectHole(inode, hole_at, next < 0 ? size : static_cast<size_t>(next));
}

}  // namespace

std::vector<Operation> RangeOperations() {
  return {{"truncate", 50, Truncate}, {"allocate", 25, Allocate},     {"punch", 35, Punch},
          {"zero", 25, Zero},         {"shift range", 3, ShiftRange}, {"copy", 50, CopyRange},
          {"seek", 30, Seek}};
}

}  // namespace ckptfs::fsx
