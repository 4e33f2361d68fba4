// Loads and stores.
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>

#include "tests/fsx/operations.h"

namespace ckptfs::fsx {
namespace {

constexpr size_t kMappingsMax = 8;
constexpr size_t kMappedPagesMax = 64;

Mapping& Map(World& world, bool to_store) {
  if (world.mappings.size() >= kMappingsMax) world.mappings.pop_front();
  Handle& handle =
      to_store
          ? world.PickHandle([](const Handle& h) { return h.readable() && h.writable(); }, O_RDWR)
          : world.PickHandle([](const Handle& h) { return h.readable(); }, O_RDONLY);
  const Inode& inode = *handle.inode;
  // In the file if it has anything, with an end that may be far behind its end.
  const size_t pages = std::max<size_t>(1, inode.bytes.size() / kPageBytes);
  const size_t offset = world.Below(pages) * kPageBytes;
  const size_t length = kPageBytes * (1 + world.Below(kMappedPagesMax));
  world.Note(inode,
             fmt::format("map {} at {} for {}", length, offset, to_store ? "stores" : "loads"));
  return world.mappings.emplace_back(
      handle.fd.get(), handle.inode, offset, length,
      to_store ? Mapping::Access::kReadWrite : Mapping::Access::kRead, handle.writable());
}

Mapping& PickMapping(World& world, bool to_store) {
  std::vector<Mapping*> suitable;
  for (Mapping& mapping : world.mappings) {
    if (!to_store || mapping.can_store()) suitable.push_back(&mapping);
  }
  if (suitable.empty() || world.OneIn(3)) return Map(world, to_store);
  return *suitable[world.Below(suitable.size())];
}

void Load(World& world) {
  const Mapping& mapping = PickMapping(world, false);
  const Inode& inode = mapping.inode();
  const Range part = world.PickPart(inode, mapping.offset(), mapping.end());
  if (part.length == 0) return;
  world.Note(inode, fmt::format("load {} at {}", part.length, part.offset));
  inode.ExpectBytes(part.offset, mapping.Load(part.offset, part.length), "load");
  // What lies behind the end, on its page, is zero: nobody has stored to it.
  const size_t size = inode.bytes.size();
  const size_t page_end = (size + kPageBytes - 1) / kPageBytes * kPageBytes;
  if (part.end() != size || page_end > mapping.end() || page_end == size) return;
  const std::string behind = mapping.Load(size, page_end - size);
  if (behind.find_first_not_of('\0') != std::string::npos) {
    throw Mismatch(inode.id, fmt::format("behind the end, at {}, the mapped page has {}", size,
                                         Origin(behind, size)));
  }
}

void Store(World& world) {
  Mapping& mapping = PickMapping(world, true);
  Inode& inode = mapping.inode();
  const Range part = world.PickPart(inode, mapping.offset(), mapping.end());
  if (part.length == 0) return;
  world.Note(inode, fmt::format("store {} at {}", part.length, part.offset));
  const std::string data = Content(world.operation, part.offset, part.length);
  const int64_t now = NowNs();
  mapping.Store(part.offset, data);
  inode.Overwrite(part.offset, data);
  inode.stores_pending = true;
  // A store to a page that is dirty through this mapping is seen by nobody.
  if (!mapping.watched()) {
    inode.MayHaveChanged();
  } else if (!world.LearnsLate(inode)) {
    inode.Changed(now);
    mapping.set_watched(false);
  } else {
    // The daemon hears of it when it is written out.
    inode.MayHaveChanged();
    mapping.set_watched(false);
    if (!world.OneIn(6)) return;
    mapping.Sync(MS_SYNC);
    world.Note(inode, "msync");
    inode.Changed(now);
    mapping.set_watched(true);
  }
}

void SyncMapping(World& world) {
  if (world.mappings.empty()) return;
  auto mapping = world.mappings.begin();
  std::advance(mapping, world.Below(world.mappings.size()));
  const bool wait = !world.OneIn(3);
  world.Note(mapping->inode(), wait ? "msync" : "msync with MS_ASYNC");
  mapping->Sync(wait ? MS_SYNC : MS_ASYNC);
  if (wait) mapping->set_watched(true);
}

void Unmap(World& world) {
  if (world.mappings.empty()) return;
  auto mapping = world.mappings.begin();
  std::advance(mapping, world.Below(world.mappings.size()));
  world.Note(mapping->inode(), fmt::format("unmap what is at {}", mapping->offset()));
  world.mappings.erase(mapping);
}

}  // namespace

std::vector<Operation> MappedOperations() {
  return {
      {"load", 110, Load}, {"store", 120, Store}, {"msync", 15, SyncMapping}, {"unmap", 20, Unmap}};
}

}  // namespace ckptfs::fsx
