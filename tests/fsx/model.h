// What the files should be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fsx/content.h"

namespace ckptfs::fsx {

// Something on the filesystem is not what the model says.
class Mismatch : public std::runtime_error {
 public:
  // `file`: the id of the file that it is about, or 0.
  Mismatch(uint64_t file, const std::string& text) : std::runtime_error(text), file_(file) {}
  uint64_t file() const noexcept { return file_; }

 private:
  uint64_t file_;
};

// A file, under any number of names, or none.
struct Inode {
  uint64_t id = 0;  // the same in a snapshot and after a rollback
  size_t size_max = 0;
  std::string bytes;

  // The modification time in nanoseconds: at least that, and if there is a second one, exactly that.
  int64_t mtime_min_ns = 0;
  std::optional<int64_t> mtime_ns;
  // There were stores through a mapping, and none of what makes sure that they are written out.
  bool stores_pending = false;
  // It was opened for reading only, once: whoever opens it for writing meanwhile may write through the
  // daemon, which then learns of stores through mappings when they are written out.
  bool read_only_opened = false;
  // Left behind by a rollback: descriptors that were open for reading still see it.
  bool left_behind = false;
  uint64_t left_in = 0;  // the id of the snapshot that kept it then; 0: none did

  // What writes, truncates and punches do to the bytes.
  void Overwrite(size_t offset, std::string_view data);
  void Resize(size_t size) { bytes.resize(size, '\0'); }
  // Zeros in what of the range there is.
  void Clear(size_t offset, size_t length);

  // A change that began at `began_ns`: the modification time is not older from now on.
  void Changed(int64_t began_ns);
  // It may have any modification time that is not older than it was.
  void MayHaveChanged() { mtime_ns.reset(); }

  // Throws Mismatch unless `found` is what is at `offset`. `how` says how it was read.
  void ExpectBytes(size_t offset, std::string_view found, std::string_view how) const;
};
using InodePtr = std::shared_ptr<Inode>;

// Files by name. Names of one inode are hard links.
using Tree = std::map<std::string, InodePtr>;

// A copy that shares nothing. Hard links stay hard links.
Tree Copy(const Tree& tree);
bool SameContent(const Tree& a, const Tree& b);
size_t LinkCount(const Tree& tree, const Inode& inode);

struct Snapshot {
  uint64_t id = 0;
  std::string name;
  Tree tree;
  // What was open and had no name.
  std::vector<InodePtr> nameless;
};

}  // namespace ckptfs::fsx
