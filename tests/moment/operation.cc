#include "tests/moment/operation.h"

#include <fmt/format.h>

namespace ckptfs::moment {

std::string Content(int writer, uint64_t number, size_t size) {
  const std::string unit = fmt::format("{}.{};", writer, number);
  std::string content;
  content.reserve(size + unit.size());
  while (content.size() < size) content += unit;
  content.resize(size);
  return content;
}

std::string Describe(const Operation& operation) {
  const Operation& o = operation;
  switch (o.kind) {
    case Kind::kOpen:
      return fmt::format("open {} with flags {:#o} as handle {}", o.path, o.flags, o.handle);
    case Kind::kClose:
      return fmt::format("close handle {}", o.handle);
    case Kind::kWrite:
      return fmt::format("write {} bytes at {} to handle {}", o.size, o.offset, o.handle);
    case Kind::kAppend:
      return fmt::format("append {} bytes to handle {}", o.size, o.handle);
    case Kind::kTruncate:
      return fmt::format("truncate handle {} to {}", o.handle, o.size);
    case Kind::kRename:
      return fmt::format("rename {} to {}", o.path, o.other);
    case Kind::kExchange:
      return fmt::format("exchange {} and {}", o.path, o.other);
    case Kind::kUnlink:
      return fmt::format("unlink {}", o.path);
    case Kind::kLink:
      return fmt::format("link {} as {}", o.path, o.other);
    case Kind::kSymlink:
      return fmt::format("make symlink {} to {}", o.path, o.other);
    case Kind::kMkdir:
      return fmt::format("mkdir {}", o.path);
    case Kind::kRmdir:
      return fmt::format("rmdir {}", o.path);
    case Kind::kChmod:
      return fmt::format("chmod {} to {:o}", o.path, o.mode);
    case Kind::kSetXattr:
      return fmt::format("set the attribute of {}", o.path);
    case Kind::kSetTime:
      return fmt::format("set the time of {}", o.path);
    case Kind::kMap:
      return fmt::format("map handle {}", o.handle);
    case Kind::kStore:
      return fmt::format("store at {} through the mapping of handle {}", o.offset, o.handle);
    case Kind::kSync:
      return fmt::format("msync the mapping of handle {}", o.handle);
    case Kind::kUnmap:
      return fmt::format("unmap handle {}", o.handle);
  }
  return "do something unknown";
}

}  // namespace ckptfs::moment
