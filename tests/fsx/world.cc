#include "tests/fsx/world.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <set>
#include <system_error>

#include "backend/base/error.h"

namespace ckptfs::fsx {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr size_t kHandlesMax = 14;
constexpr size_t kSmallBytesMax = 64 << 10;  // what may be read through the page cache (OpenFiles)

std::string JobName(int job) { return fmt::format("job-{}", job); }

std::mt19937_64 Generator(uint64_t seed, int job) {
  std::seed_seq sequence{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32U),
                         static_cast<uint32_t>(job)};
  return std::mt19937_64(sequence);
}

}  // namespace

int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return int64_t{now.tv_sec} * kNsPerSecond + now.tv_nsec;
}

int64_t MtimeNs(const struct stat& status) {
  return int64_t{status.st_mtim.tv_sec} * kNsPerSecond + status.st_mtim.tv_nsec;
}

World::World(const Options& options, int job)
    : log(options.log.empty() || options.jobs == 1 ? options.log
                                                   : fmt::format("{}.{}", options.log, job)),
      options_(options),
      job_(job),
      directory_(options.directory + "/" + JobName(job)),
      random_(Generator(options.seed, job)),
      names_{"a", "b", "c", "d/a", "d/b", "d/e/a", "d/e/b"} {
  for (const char* below : {"", "/d", "/d/e"}) {
    const std::string path = directory_ + below;
    CheckSyscall(mkdir(path.c_str(), 0755), "mkdir " + path);
  }
}

void World::RemoveAll() {
  handles.clear();
  mappings.clear();
  const std::string list = options_.snapshots + "/" + JobName(job_);
  for (const Snapshot& snapshot : snapshots) rmdir((list + "/" + snapshot.name).c_str());
  std::error_code failed;
  std::filesystem::remove_all(directory_, failed);
  if (failed) fmt::print(stderr, "cannot remove {}: {}\n", directory_, failed.message());
}

size_t World::PickLength() {
  switch (Below(8)) {
    case 0:
    case 1:
      return 1 + Below(100);
    case 2:
      return 1 + Below(size_t{256} << 10U);
    case 3:
      return kPageBytes * (1 + Below(16));
    default:
      return 1 + Below(size_t{32} << 10U);
  }
}

Range World::PickRange(const Inode& inode, bool aligned) {
  Range range{.offset = Below(inode.size_max), .length = PickLength()};
  if (OneIn(4)) {
    // About the end of the file: before it, at it, behind it.
    const size_t before = Below(3) * Below(2 * kPageBytes);
    range.offset = std::min(inode.bytes.size() + Below(2) * Below(2 * kPageBytes),
                            inode.size_max - kPageBytes);
    range.offset -= std::min(before, range.offset);
  }
  if (aligned || OneIn(3)) range.offset -= range.offset % kPageBytes;
  range.length = std::min(range.length, inode.size_max - range.offset);
  if (aligned) range.length = (range.length + kPageBytes - 1) / kPageBytes * kPageBytes;
  return range;
}

Range World::PickPart(const Inode& inode, size_t begin, size_t end) {
  end = std::min(end, inode.bytes.size());
  if (begin >= end) return {};
  Range range{.offset = begin + Below(end - begin)};
  if (OneIn(3)) range.offset = std::max(begin, range.offset / kPageBytes * kPageBytes);
  range.length = std::min(PickLength(), end - range.offset);
  return range;
}

void World::NoteFiles(std::vector<uint64_t> files, std::string text) {
  log.Add(operation, std::move(text), std::move(files));
}

long World::Expect(long result, const Inode& inode, std::string_view call) const {
  if (result >= 0) return result;
  throw Mismatch(inode.id, fmt::format("{}: {}", call, std::strerror(errno)));
}

void World::ExpectErrno(int error, long result, const Inode& inode, std::string_view call) const {
  if (result < 0 && errno == error) return;
  throw Mismatch(inode.id, fmt::format("{}: expected '{}', got '{}'", call, std::strerror(error),
                                       result < 0 ? std::strerror(errno) : "success"));
}

std::string World::PickName() {
  if (live.empty()) Open(PickAnyName(), O_CREAT | O_EXCL | O_RDWR);
  return std::next(live.begin(), static_cast<std::ptrdiff_t>(Below(live.size())))->first;
}

Handle& World::Open(const std::string& name, int flags) {
  const auto found = live.find(name);
  InodePtr inode;
  if (found == live.end()) {
    constexpr size_t kSizesKiB[] = {256, 256, 512, 1024, 4096};
    inode = std::make_shared<Inode>();
    inode->id = next_id++;
    inode->size_max = kSizesKiB[Below(std::size(kSizesKiB))] << 10U;
    inode->mtime_min_ns = NowNs();
  } else {
    inode = found->second;
  }
  if (handles.size() >= kHandlesMax) {
    handles.erase(std::next(handles.begin(), static_cast<std::ptrdiff_t>(Below(handles.size()))));
  }
  Note(*inode, fmt::format("open {} (file {}, {} bytes) with {:#o}", name, inode->id,
                           inode->bytes.size(), flags));
  const int64_t now = NowNs();
  const long fd = open(Path(name).c_str(), flags | O_CLOEXEC, 0644);
  Expect(fd, *inode, "open " + name);
  if ((flags & O_TRUNC) != 0) {
    inode->Resize(0);
    inode->Changed(now);
  }
  live[name] = inode;
  if ((flags & O_ACCMODE) == O_RDONLY) inode->read_only_opened = true;
  handles.push_back({.fd = UniqueFd(static_cast<int>(fd)), .inode = inode, .flags = flags});
  return handles.back();
}

Handle& World::PickHandle(Suits suits, int flags) {
  std::vector<Handle*> suitable;
  for (Handle& handle : handles) {
    if (suits(handle)) suitable.push_back(&handle);
  }
  if (suitable.empty() || OneIn(30)) return Open(PickName(), flags);
  return *suitable[Below(suitable.size())];
}

void World::DropMappings(bool (*which)(const Mapping&)) { mappings.remove_if(which); }

bool World::StateIsThere(const Inode& inode) const {
  return !inode.left_behind ||
         std::any_of(snapshots.begin(), snapshots.end(),
                     [&](const Snapshot& snapshot) { return snapshot.id == inode.left_in; });
}

void World::Synced(Inode& inode) {
  inode.stores_pending = false;
  for (Mapping& mapping : mappings) {
    if (&mapping.inode() == &inode) mapping.set_watched(true);
  }
}

void World::CheckStatus(Inode& inode, const struct stat& status, size_t links,
                        std::string_view how) {
  const auto size = static_cast<size_t>(status.st_size);
  if (size != inode.bytes.size()) {
    throw Mismatch(inode.id,
                   fmt::format("{}: st_size is {}, not {}", how, size, inode.bytes.size()));
  }
  if (!inode.left_behind && status.st_nlink != links) {
    throw Mismatch(inode.id,
                   fmt::format("{}: st_nlink is {}, not {}", how, status.st_nlink, links));
  }
  const int64_t mtime = MtimeNs(status);
  if (mtime < inode.mtime_min_ns || (inode.mtime_ns && *inode.mtime_ns != mtime)) {
    throw Mismatch(inode.id, fmt::format("{}: st_mtim is {}, expected {} {}", how, mtime,
                                         inode.mtime_ns ? "exactly" : "at least",
                                         inode.mtime_ns.value_or(inode.mtime_min_ns)));
  }
  inode.mtime_min_ns = mtime;
}

void World::CheckStatus(const InodePtr& inode) {
  const size_t links = LinkCount(live, *inode);
  struct stat status {};
  for (const Handle& handle : handles) {
    if (handle.inode != inode || OneIn(2)) continue;
    Expect(fstat(handle.fd.get(), &status), *inode, "fstat");
    CheckStatus(*inode, status, links, "fstat");
    return;
  }
  for (const auto& [name, of_name] : live) {
    if (of_name != inode) continue;
    Expect(stat(Path(name).c_str(), &status), *inode, "stat " + name);
    CheckStatus(*inode, status, links, "stat " + name);
    return;
  }
}

void World::CheckFile(const std::string& path, const InodePtr& inode, size_t links) {
  struct stat status {};
  const UniqueFd fd(
      static_cast<int>(Expect(open(path.c_str(), O_RDONLY | O_CLOEXEC), *inode, "open " + path)));
  Expect(fstat(fd.get(), &status), *inode, "fstat " + path);
  CheckStatus(*inode, status, links, path);
  const size_t size = inode->bytes.size();
  // Closing it does not wait for its release: who opens it next may still be served as beside a reader.
  if (size <= kSmallBytesMax) inode->read_only_opened = true;
  if (size > 0 && OneIn(4)) {
    const Mapping mapping(fd.get(), inode, 0, size, Mapping::Access::kRead, false);
    inode->ExpectBytes(0, mapping.Load(0, size), "mapping all of " + path + ",");
    return;
  }
  // One byte more than there should be: whoever reads to the end sees what the size does not tell.
  std::string found(size + 1, '\0');
  size_t done = 0;
  while (done < found.size()) {
    const long got =
        Expect(read(fd.get(), found.data() + done, found.size() - done), *inode, "read " + path);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  if (done != size) {
    throw Mismatch(inode->id, fmt::format("{}: {} bytes until the end, not {}", path, done, size));
  }
  found.resize(done);
  inode->ExpectBytes(0, found, "reading all of " + path + ",");
}

void World::CheckTree(const std::string& directory, const Tree& tree) {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_directory()) continue;
    const std::string name = entry.path().lexically_relative(directory).string();
    if (!tree.contains(name)) throw Mismatch(0, fmt::format("{}: unexpected {}", directory, name));
    found.insert(name);
  }
  for (const auto& [name, inode] : tree) {
    if (!found.contains(name)) {
      throw Mismatch(inode->id, fmt::format("{}: {} is not listed", directory, name));
    }
    CheckFile(fmt::format("{}/{}", directory, name), inode, LinkCount(tree, *inode));
  }
}

}  // namespace ckptfs::fsx
