#include "tests/stress/file_worker.h"

#include <dirent.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <memory>

namespace ckptfs::stress {
namespace {

constexpr size_t kHeldMax = 4;
constexpr size_t kMaxWords = 4096;
constexpr size_t kMappedBytes = 16384;

// Content that tells where it ends: its length in words, then its number again and again.
std::vector<uint64_t> CompleteContent(uint64_t number, size_t words) {
  std::vector<uint64_t> content(words, number);
  content[0] = words;
  return content;
}

bool IsComplete(const std::vector<uint64_t>& content) {
  if (content.size() < 2 || content[0] != content.size()) return false;
  return std::all_of(content.begin() + 1, content.end(),
                     [&](uint64_t word) { return word == content[1]; });
}

template <typename Item>
void Trim(std::vector<Item>& items) {
  if (items.size() > kHeldMax) items.erase(items.begin());
}

}  // namespace

std::string FileWorker::AnyDirectory() {
  const std::string w = AnyWorkspace();
  return Chance(3) ? w : fmt::format("{}/d{}", w, Random(2));
}

void FileWorker::LetGo() {
  directories_.clear();
  files_.clear();
  writer_.reset();
  if (stands_inside_ && chdir("/") == 0) stands_inside_ = false;
}

void FileWorker::Step() {
  switch (Random(14)) {
    case 0:
    case 1:
      MakeComplete();
      break;
    case 2:
      WriteInPlace();
      break;
    case 3:
      StoreThroughMapping();
      break;
    case 4:
    case 5:
    case 6:
      ChangeNames();
      break;
    case 7:
      LookAround();
      break;
    case 8:
      HoldDirectory();
      break;
    case 9:
      UseHeldDirectory();
      break;
    case 10:
      HoldFile();
      break;
    case 11:
      UseHeldFile();
      break;
    case 12:
      StandSomewhere();
      break;
    default:
      CheckComplete(fmt::format(".snapshots/{}/{}/d{}/n{}", AnyWorkspace(), AnySnapshot(),
                                Random(2), Random(6)),
                    Operation::kReadInSnapshot);
      break;
  }
}

// --- Complete files ------------------------------------------------------------------------------

void FileWorker::MakeComplete() {
  const std::string directory = AnyDirectory();
  const std::string name = fmt::format("{}/t{}.{}", directory, number(), ++made_);
  UniqueFd fd(Call(Operation::kOpenUnnamed, directory, [&] {
    return openat(root(), directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
  }));
  if (!fd.valid()) return;
  const auto content = CompleteContent(made_, 2 + Random(kMaxWords));
  const size_t bytes = content.size() * sizeof(content[0]);
  const ssize_t written =
      Call(Operation::kWrite, name, [&] { return write(fd.get(), content.data(), bytes); });
  if (written != static_cast<ssize_t>(bytes)) return;
  const int linked = Call(Operation::kLinkUnnamed, name, [&] {
    return linkat(fd.get(), "", root(), name.c_str(), AT_EMPTY_PATH);
  });
  // Kept open, it would make every rollback fail: close it before the rename, mostly.
  if (!Chance(4)) fd.Reset();
  const std::string final_name = fmt::format("{}/n{}", directory, Random(6));
  if (linked != 0) return;
  Call(Operation::kRename, name + " -> " + final_name,
       [&] { return renameat(root(), name.c_str(), root(), final_name.c_str()); });
}

void FileWorker::CheckComplete(const std::string& path, Operation operation) {
  const UniqueFd fd(
      Call(operation, path, [&] { return openat(root(), path.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (fd.valid()) CheckComplete(fd.get(), path);
}

void FileWorker::CheckComplete(int fd, const std::string& path) {
  std::vector<uint64_t> content(kMaxWords + 16);
  const ssize_t size = Call(Operation::kRead, path, [&] {
    return pread(fd, content.data(), content.size() * sizeof(content[0]), 0);
  });
  if (size < 0) return;
  content.resize(static_cast<size_t>(size) / sizeof(content[0]));
  if (IsComplete(content)) return;
  content.resize(std::max(content.size(), size_t{2}));
  const auto other = std::find_if(content.begin() + 2, content.end(),
                                  [&](uint64_t word) { return word != content[1]; });
  board().Fail(
      fmt::format("{} is torn: it has {} words and says {}; {} from the second on, until {}", path,
                  static_cast<size_t>(size) / sizeof(content[0]), content[0], content[1],
                  other - content.begin()));
}

// --- Files that change in place -------------------------------------------------------------------

void FileWorker::WriteInPlace() {
  const std::string path = fmt::format("{}/w{}", AnyDirectory(), Random(4));
  UniqueFd fd(Call(Operation::kOpenForWriting, path, [&] {
    return openat(root(), path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | (Chance(4) ? O_TRUNC : 0),
                  0644);
  }));
  if (!fd.valid()) return;
  const std::string text(1 + Random(20000), 'w');
  Call(Operation::kWrite, path, [&] {
    return pwrite(fd.get(), text.data(), text.size(), static_cast<off_t>(Random(100000)));
  });
  struct stat status {};
  Call(Operation::kStatOpen, path, [&] { return fstat(fd.get(), &status); });
  if (Chance(8)) Call(Operation::kSync, path, [&] { return fsync(fd.get()); });
  // Held for a while: rollbacks are refused, or leave it behind.
  if (Chance(6)) writer_ = Held{std::move(fd), path};
}

void FileWorker::StoreThroughMapping() {
  // Of its own: who cuts a file that others have mapped kills them.
  const std::string path = fmt::format("{}/m{}", AnyDirectory(), number());
  UniqueFd fd(Call(Operation::kOpenForWriting, path, [&] {
    return openat(root(), path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  }));
  if (!fd.valid()) return;
  const int cut =
      Call(Operation::kTruncate, path, [&] { return ftruncate(fd.get(), kMappedBytes); });
  if (cut != 0) return;
  void* memory = MAP_FAILED;
  Call(Operation::kMap, path, [&] {
    memory = mmap(nullptr, kMappedBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    return memory == MAP_FAILED ? -1 : 0;
  });
  if (memory == MAP_FAILED) return;
  if (Chance(2)) fd.Reset();
  std::memset(memory, 'm', kMappedBytes);
  if (Chance(4)) msync(memory, kMappedBytes, MS_SYNC);
  munmap(memory, kMappedBytes);
}

// --- Names ---------------------------------------------------------------------------------------

void FileWorker::ChangeNames() {
  const std::string w = AnyWorkspace();
  const std::string directory = fmt::format("{}/d{}", w, Random(2));
  const std::string complete = fmt::format("{}/n{}", directory, Random(6));
  const std::string plain = fmt::format("{}/w{}", directory, Random(4));
  switch (Random(8)) {
    case 0:
    case 1:
      Call(Operation::kMakeDirectory, directory,
           [&] { return mkdirat(root(), directory.c_str(), 0755); });
      break;
    case 2:
      if (!Chance(4)) break;
      Call(Operation::kRemoveDirectory, directory,
           [&] { return unlinkat(root(), directory.c_str(), AT_REMOVEDIR); });
      break;
    case 3: {
      const std::string& path = Chance(2) ? complete : plain;
      Call(Operation::kUnlink, path, [&] { return unlinkat(root(), path.c_str(), 0); });
      break;
    }
    case 4: {
      const std::string to = fmt::format("{}/d{}/n{}", w, Random(2), Random(6));
      Call(Operation::kRename, complete + " -> " + to,
           [&] { return renameat(root(), complete.c_str(), root(), to.c_str()); });
      break;
    }
    case 5: {
      const std::string to = fmt::format("{}/d{}/n{}", w, Random(2), Random(6));
      Call(Operation::kLink, complete + " -> " + to,
           [&] { return linkat(root(), complete.c_str(), root(), to.c_str(), 0); });
      break;
    }
    case 6: {
      const std::string to = fmt::format("{}/l{}", directory, Random(3));
      Call(Operation::kSymlink, to, [&] { return symlinkat("n0", root(), to.c_str()); });
      Call(Operation::kUnlink, to, [&] { return unlinkat(root(), to.c_str(), 0); });
      break;
    }
    default: {
      const std::string to = fmt::format("{}/d{}", w, Random(3));
      Call(Operation::kRename, directory + " -> " + to,
           [&] { return renameat(root(), directory.c_str(), root(), to.c_str()); });
      break;
    }
  }
}

void FileWorker::ListAt(Operation operation, int directory, const std::string& path) {
  Call(operation, path, [&] {
    const int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(fd), closedir);
    if (!stream) return -1;
    errno = 0;
    while (readdir(stream.get()) != nullptr) {
    }
    return errno == 0 ? 0 : -1;
  });
}

void FileWorker::LookAround() {
  const std::string w = AnyWorkspace();
  struct stat status {};
  for (const std::string& path :
       {w, w + "/.snapshots", ".snapshots/" + w, fmt::format(".snapshots/{}/{}", w, AnySnapshot()),
        fmt::format("{}/d{}/w{}", w, Random(2), Random(4))}) {
    Call(Operation::kStat, path,
         [&] { return fstatat(root(), path.c_str(), &status, AT_SYMLINK_NOFOLLOW); });
  }
  const std::string latest = fmt::format(".snapshots/{}/latest", w);
  std::array<char, NAME_MAX> target{};
  Call(Operation::kReadLatest, latest,
       [&] { return readlinkat(root(), latest.c_str(), target.data(), target.size()); });
  for (const std::string& path : {std::string("."), std::string(".snapshots"), w, ".snapshots/" + w,
                                  w + "/.snapshots", AnyDirectory()}) {
    const UniqueFd fd(Call(Operation::kHoldDirectory, path, [&] {
      return openat(root(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }));
    // Between the two the workspace may have been removed.
    if (fd.valid()) ListAt(Operation::kHeldList, fd.get(), path);
  }
}

// --- What is held across rollbacks ---------------------------------------------------------------

void FileWorker::HoldDirectory() {
  const std::string path = AnyDirectory();
  UniqueFd fd(Call(Operation::kHoldDirectory, path, [&] {
    return openat(root(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }));
  if (!fd.valid()) return;
  directories_.push_back({std::move(fd), path});
  Trim(directories_);
}

void FileWorker::UseHeldDirectory() {
  if (directories_.empty()) return;
  const Held& held = directories_[Random(directories_.size())];
  struct stat status {};
  Call(Operation::kHeldStat, held.name,
       [&] { return fstatat(held.fd.get(), "n0", &status, AT_SYMLINK_NOFOLLOW); });
  ListAt(Operation::kHeldList, held.fd.get(), held.name);
  const UniqueFd made(Call(Operation::kHeldCreate, held.name, [&] {
    return openat(held.fd.get(), "w0", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  }));
}

void FileWorker::HoldFile() {
  const std::string path = fmt::format("{}/n{}", AnyDirectory(), Random(6));
  UniqueFd fd(Call(Operation::kOpenForReading, path,
                   [&] { return openat(root(), path.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (!fd.valid()) return;
  CheckComplete(fd.get(), path);
  files_.push_back({std::move(fd), path});
  Trim(files_);
}

// A file stays what it was when it was opened, whatever has become of its workspace.
void FileWorker::UseHeldFile() {
  struct stat status {};
  if (!files_.empty()) {
    const Held& held = files_[Random(files_.size())];
    CheckComplete(held.fd.get(), "held open: " + held.name);
    Call(Operation::kStatOpen, "held open: " + held.name,
         [&] { return fstat(held.fd.get(), &status); });
  }
  if (!writer_) return;
  Call(Operation::kWrite, "held open: " + writer_->name,
       [&] { return pwrite(writer_->fd.get(), "later", 5, 0); });
  Call(Operation::kStatOpen, "held open: " + writer_->name,
       [&] { return fstat(writer_->fd.get(), &status); });
  writer_.reset();
}

void FileWorker::StandSomewhere() {
  const std::string path = AnyDirectory();
  const UniqueFd fd(Call(Operation::kHoldDirectory, path, [&] {
    return openat(root(), path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  }));
  if (!fd.valid()) return;
  // Asks for the directory's permissions, so its attributes.
  const int entered = Call(Operation::kEnter, path, [&] { return fchdir(fd.get()); });
  stands_inside_ |= entered == 0;
  std::array<char, PATH_MAX> here{};
  Call(Operation::kWhereAmI, path,
       [&] { return getcwd(here.data(), here.size()) != nullptr ? 0 : -1; });
}

}  // namespace ckptfs::stress
