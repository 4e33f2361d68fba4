// The state that operations work on: the files and their expected state.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdint>
#include <list>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/unique_fd.h"
#include "tests/fsx/mapping.h"
#include "tests/fsx/model.h"
#include "tests/fsx/operation_log.h"

namespace ckptfs::fsx {

struct Options {
  std::string directory;  // each job creates its own directory in it
  std::string snapshots;  // directory of the lists of snapshots; empty: make no snapshots
  uint64_t operations = 30'000;
  uint64_t seed = 1;
  int jobs = 1;
  bool through_daemon = false;
  uint64_t plant = 0;  // the model is falsified from this operation on; 0: never
  std::string log;
  size_t history = 60;
};

// An open file description.
struct Handle {
  UniqueFd fd;
  InodePtr inode;
  int flags = 0;

  bool readable() const { return (flags & O_ACCMODE) != O_WRONLY; }
  bool writable() const { return (flags & O_ACCMODE) != O_RDONLY; }
  bool append() const { return (flags & O_APPEND) != 0; }
  bool direct() const { return (flags & O_DIRECT) != 0; }
};

struct Range {
  size_t offset = 0;
  size_t length = 0;
  size_t end() const { return offset + length; }
};

// The files of one job, their model, and the source of random numbers. Every difference throws Mismatch. Used
// by one thread; nothing else changes the directory.
class World {
 public:
  // Creates the directory, which on ckptfs is a workspace. Throws Error if it exists.
  World(const Options& options, int job);
  // Removes it. Does not throw if parts of it are already gone.
  void RemoveAll();

  const Options& options() const { return options_; }
  int job() const { return job_; }
  const std::string& directory() const { return directory_; }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  bool makes_snapshots() const { return !options_.snapshots.empty(); }

  // --- Numbers. Below(0) is 0.
  size_t Below(size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  bool OneIn(size_t n) { return Below(n) == 0; }
  // A non-empty range within size_max, in the file or beyond its end; `aligned`: whole pages.
  Range PickRange(const Inode& inode, bool aligned);
  // A part of the file's content within [begin, end); its length is 0 if there is none.
  Range PickPart(const Inode& inode, size_t begin, size_t end);

  // --- The log. Call before the operation, so that a hang or crash is logged.
  void Note(const Inode& inode, std::string text) { NoteFiles({inode.id}, std::move(text)); }
  void NoteAll(std::string text) { NoteFiles({}, std::move(text)); }
  void NoteFiles(std::vector<uint64_t> files, std::string text);
  // Returns the result of a system call; throws Mismatch with errno if it is negative.
  long Expect(long result, const Inode& inode, std::string_view call) const;
  void ExpectErrno(int error, long result, const Inode& inode, std::string_view call) const;

  // --- Names.
  const std::vector<std::string>& names() const { return names_; }
  const std::string& PickAnyName() { return names_[Below(names_.size())]; }
  // An existing name; creates a file if there is none.
  std::string PickName();
  // open(2). `flags` may include O_CREAT if the file does not exist, or O_TRUNC.
  Handle& Open(const std::string& name, int flags);

  // --- Descriptors and mappings.
  using Suits = bool (*)(const Handle&);
  // Opens a file with `flags` if no descriptor is suitable, and sometimes even if one is.
  Handle& PickHandle(Suits suits, int flags);
  // Drops those mappings of files for which `which` is true.
  void DropMappings(bool (*which)(const Mapping&));
  // Whether all calls work on a descriptor of it. Once the state in which a rollback left the file is
  // deleted, it can be read, but calls that need the daemon fail.
  bool StateIsThere(const Inode& inode) const;
  // All stores to the file have been written back.
  void Synced(Inode& inode);

  // --- Checks.
  // Sizes, links and times by one of its names or descriptors.
  void CheckStatus(const InodePtr& inode);
  void CheckStatus(Inode& inode, const struct stat& status, size_t links, std::string_view how);
  // Checks all names of a directory and all bytes of each file.
  void CheckTree(const std::string& directory, const Tree& tree);
  void CheckFile(const std::string& path, const InodePtr& inode, size_t links);

  uint64_t operation = 0;
  uint64_t next_id = 1;
  Tree live;
  // Whether stores through a mapping of it may show up late in its times.
  bool LearnsLate(const Inode& inode) const {
    return options().through_daemon || inode.read_only_opened;
  }

  std::list<Handle> handles;
  std::list<Mapping> mappings;
  std::vector<Snapshot> snapshots;
  OperationLog log;

 private:
  size_t PickLength();

  const Options options_;
  const int job_;
  const std::string directory_;
  std::mt19937_64 random_;
  std::vector<std::string> names_;
};

// A lower bound of the filesystem's clock, in nanoseconds.
int64_t NowNs();
int64_t MtimeNs(const struct stat& status);

}  // namespace ckptfs::fsx
