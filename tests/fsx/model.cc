#include "tests/fsx/model.h"

#include <fmt/format.h>

#include <algorithm>

namespace ckptfs::fsx {

void Inode::Overwrite(size_t offset, std::string_view data) {
  if (bytes.size() < offset + data.size()) Resize(offset + data.size());
  std::copy(data.begin(), data.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset));
}

void Inode::Clear(size_t offset, size_t length) {
  if (offset >= bytes.size()) return;
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset),
              std::min(length, bytes.size() - offset), '\0');
}

void Inode::Changed(int64_t began_ns) {
  mtime_min_ns = began_ns;
  mtime_ns.reset();
}

void Inode::ExpectBytes(size_t offset, std::string_view found, std::string_view how) const {
  const std::string_view expected =
      std::string_view(bytes).substr(std::min(offset, bytes.size()), found.size());
  if (found == expected) return;
  const auto [in_found, in_expected] =
      std::mismatch(found.begin(), found.end(), expected.begin(), expected.end());
  const auto at = static_cast<size_t>(in_found - found.begin());
  size_t wrong = 0;
  size_t last = at;
  for (size_t i = at; i < expected.size(); ++i) {
    if (found[i] == expected[i]) continue;
    ++wrong;
    last = i;
  }
  const size_t size = last + 1 - at;
  throw Mismatch(
      id, fmt::format("{} of {} bytes at {}: {} bytes wrong, from offset {} to {} of {}\n"
                      "  expected {} ({})\n  found    {} ({})",
                      how, found.size(), offset, wrong, offset + at, offset + last, bytes.size(),
                      Hex(expected.substr(at)), Origin(expected.substr(at, size), offset + at),
                      Hex(found.substr(at)), Origin(found.substr(at, size), offset + at)));
}

Tree Copy(const Tree& tree) {
  std::map<const Inode*, InodePtr> copies;
  Tree copy;
  for (const auto& [name, inode] : tree) {
    InodePtr& of_inode = copies[inode.get()];
    if (!of_inode) {
      of_inode = std::make_shared<Inode>(*inode);
      of_inode->read_only_opened = false;  // nobody has the copy open
    }
    copy.emplace(name, of_inode);
  }
  return copy;
}

bool SameContent(const Tree& a, const Tree& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second->id == y.second->id && x.second->bytes == y.second->bytes;
  });
}

size_t LinkCount(const Tree& tree, const Inode& inode) {
  return static_cast<size_t>(std::count_if(
      tree.begin(), tree.end(), [&](const auto& entry) { return entry.second.get() == &inode; }));
}

}  // namespace ckptfs::fsx
