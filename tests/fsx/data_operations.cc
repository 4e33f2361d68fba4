// Reads and writes.
#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "tests/fsx/operations.h"

namespace ckptfs::fsx {
namespace {

// Memory on the bound of a page, as direct I/O needs it.
class PageBuffer {
 public:
  explicit PageBuffer(size_t bytes) : pages_((bytes + kPageBytes - 1) / kPageBytes) {}
  char* get() { return reinterpret_cast<char*>(pages_.data()); }

 private:
  struct alignas(kPageBytes) Page {
    std::array<char, kPageBytes> bytes;
  };
  std::vector<Page> pages_;
};

// What a pipe holds for sure, however its pages are filled.
constexpr size_t kSpliceMax = size_t{32} << 10U;

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw Mismatch(0, "no pipe can be made");
    out.Reset(ends[0]);
    in.Reset(ends[1]);
  }
  UniqueFd out, in;
};

std::string ReadBySplice(World& world, const Handle& handle, Range range) {
  const Pipe pipe;
  std::string bytes;
  while (bytes.size() < range.length) {
    auto at = static_cast<off_t>(range.offset + bytes.size());
    const long moved = world.Expect(splice(handle.fd.get(), &at, pipe.in.get(), nullptr,
                                           std::min(range.length - bytes.size(), kSpliceMax), 0),
                                    *handle.inode, "splice from the file");
    if (moved == 0) break;
    std::string part(static_cast<size_t>(moved), '\0');
    world.Expect(read(pipe.out.get(), part.data(), part.size()), *handle.inode, "read a pipe");
    bytes += part;
  }
  return bytes;
}

void WriteBySplice(World& world, const Handle& handle, size_t offset, std::string_view data) {
  const Pipe pipe;
  auto at = static_cast<off_t>(offset);
  while (!data.empty()) {
    auto left = static_cast<size_t>(
        world.Expect(write(pipe.in.get(), data.data(), std::min(data.size(), kSpliceMax)),
                     *handle.inode, "write to a pipe"));
    data.remove_prefix(left);
    while (left > 0) {
      const long moved =
          world.Expect(splice(pipe.out.get(), nullptr, handle.fd.get(), &at, left, 0),
                       *handle.inode, "splice to the file");
      if (moved == 0) throw Mismatch(handle.inode->id, "splice to the file moved nothing");
      left -= static_cast<size_t>(moved);
    }
  }
}

void Read(World& world) {
  Handle& handle = world.PickHandle([](const Handle& h) { return h.readable(); }, O_RDONLY);
  const Inode& inode = *handle.inode;
  const Range range = world.PickRange(inode, handle.direct());
  const bool by_splice = !handle.direct() && world.OneIn(8);
  const std::string how = handle.direct() ? "direct read" : by_splice ? "splice read" : "read";
  world.Note(inode, fmt::format("{} of {} at {}", how, range.length, range.offset));
  std::string bytes;
  if (by_splice) {
    bytes = ReadBySplice(world, handle, range);
  } else {
    PageBuffer buffer(range.length);
    const long got = world.Expect(
        pread(handle.fd.get(), buffer.get(), range.length, static_cast<off_t>(range.offset)), inode,
        how);
    bytes.assign(buffer.get(), static_cast<size_t>(got));
  }
  const size_t size = inode.bytes.size();
  const size_t there = std::min(range.length, size - std::min(size, range.offset));
  if (bytes.size() != there) {
    throw Mismatch(inode.id, fmt::format("{} of {} at {}: got {} bytes, there are {}", how,
                                         range.length, range.offset, bytes.size(), there));
  }
  inode.ExpectBytes(range.offset, bytes, how);
}

// Two parts in one call, unless it has to be aligned.
long WriteOnce(World& world, const Handle& handle, size_t offset, std::string_view data) {
  const auto at = static_cast<off_t>(offset);
  PageBuffer buffer(data.size());
  std::copy(data.begin(), data.end(), buffer.get());
  if (handle.direct() || !world.OneIn(4)) {
    return pwrite(handle.fd.get(), buffer.get(), data.size(), at);
  }
  const size_t first = world.Below(data.size());
  const std::array<iovec, 2> parts = {
      {{.iov_base = buffer.get(), .iov_len = first},
       {.iov_base = buffer.get() + first, .iov_len = data.size() - first}}};
  return pwritev(handle.fd.get(), parts.data(), 2, at);
}

void Put(World& world, const Handle& handle, Range range, const std::string& how) {
  Inode& inode = *handle.inode;
  world.Note(inode, fmt::format("{} of {} at {}", how, range.length, range.offset));
  const std::string data = Content(world.operation, range.offset, range.length);
  const int64_t now = NowNs();
  if (how == "splice write") {
    WriteBySplice(world, handle, range.offset, data);
  } else {
    const long written = world.Expect(WriteOnce(world, handle, range.offset, data), inode, how);
    if (written != static_cast<long>(data.size())) {
      throw Mismatch(inode.id, fmt::format("{} of {} at {}: {} were written", how, range.length,
                                           range.offset, written));
    }
  }
  inode.Overwrite(range.offset, data);
  inode.Changed(now);
}

void Write(World& world) {
  Handle& handle =
      world.PickHandle([](const Handle& h) { return h.writable() && !h.append(); }, O_RDWR);
  const bool by_splice = !handle.direct() && world.OneIn(8);
  Put(world, handle, world.PickRange(*handle.inode, handle.direct()),
      handle.direct() ? "direct write"
      : by_splice     ? "splice write"
                      : "write");
}

// Wherever pwrite(2) is told to write, a descriptor with O_APPEND appends.
void Append(World& world) {
  Handle& handle =
      world.PickHandle([](const Handle& h) { return h.append(); }, O_WRONLY | O_APPEND);
  Inode& inode = *handle.inode;
  const size_t size = inode.bytes.size();
  const size_t length = 1 + world.Below(10'000);
  if (size + length > inode.size_max) return;
  Put(world, handle, {.offset = size, .length = length}, "append");
}

}  // namespace

std::vector<Operation> DataOperations() {
  return {{"read", 150, Read}, {"write", 150, Write}, {"append", 30, Append}};
}

}  // namespace ckptfs::fsx
