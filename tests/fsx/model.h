// The expected state of the files.
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

// The filesystem differs from the model.
class Mismatch : public std::runtime_error {
 public:
  // `file`: the id of the file concerned, or 0.
  Mismatch(uint64_t file, const std::string& text) : std::runtime_error(text), file_(file) {}
  uint64_t file() const noexcept { return file_; }

 private:
  uint64_t file_;
};

// A file with any number of names, including none.
struct Inode {
  uint64_t id = 0;  // kept in snapshots and across rollbacks
  size_t size_max = 0;
  std::string bytes;

  // The modification time in nanoseconds: at least this; exactly mtime_ns if that is set.
  int64_t mtime_min_ns = 0;
  std::optional<int64_t> mtime_ns;
  // There were stores through a mapping, and nothing since has forced their writeback.
  bool stores_pending = false;
  // It has been opened for reading only: a writer that opens it meanwhile may write through the daemon, which
  // learns of stores through mappings only at writeback.
  bool read_only_opened = false;
  // Left behind by a rollback: descriptors that were open for reading still see it.
  bool left_behind = false;
  uint64_t left_in = 0;  // the id of the snapshot that kept it; 0: none

  // The effects of write, truncate and punch on the bytes.
  void Overwrite(size_t offset, std::string_view data);
  void Resize(size_t size) { bytes.resize(size, '\0'); }
  // Zeroes the part of the range that is within the file.
  void Clear(size_t offset, size_t length);

  // For a change that began at `began_ns`: the modification time is at least that from now on.
  void Changed(int64_t began_ns);
  // The modification time may have grown by any amount.
  void MayHaveChanged() { mtime_ns.reset(); }

  // Throws Mismatch unless `found` is the content at `offset`. `how`: the way it was read.
  void ExpectBytes(size_t offset, std::string_view found, std::string_view how) const;
};
using InodePtr = std::shared_ptr<Inode>;

// Files by name. Names of one inode are hard links.
using Tree = std::map<std::string, InodePtr>;

// A deep copy. Hard links are kept.
Tree Copy(const Tree& tree);
bool SameContent(const Tree& a, const Tree& b);
size_t LinkCount(const Tree& tree, const Inode& inode);

struct Snapshot {
  uint64_t id = 0;
  std::string name;
  Tree tree;
  // files that were open without a name
  std::vector<InodePtr> nameless;
};

}  // namespace ckptfs::fsx
