#include "catalog/store/first_mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/store_file.h"
#include "backend/base/unique_fd.h"
#include "backend/interface/backend.h"
#include "backend/registry.h"
#include "catalog/db/catalog.h"
#include "catalog/store/reserve.h"

namespace ckptfs {
namespace {

// In the note: the store's directory was created too.
constexpr std::string_view kMade = "made\n";
constexpr std::string_view kFound = "found\n";

void SyncDirectory(int store_fd) {
  CheckSyscall(fsync(store_fd), "write out the store's directory");
}

void RemoveFile(int store_fd, const std::string& name) {
  if (unlinkat(store_fd, name.c_str(), 0) == 0 || errno == ENOENT) return;
  spdlog::warn("remove {}, of a store that could not be mounted: {}", name, std::strerror(errno));
}

bool SaysMade(int store_fd) {
  const UniqueFd note = TryOpenStoreFile(store_fd, FirstMount::kFileName, O_RDONLY);
  std::array<char, kMade.size()> text{};
  const ssize_t size = note.valid() ? read(note.get(), text.data(), text.size()) : 0;
  return size > 0 && std::string_view(text.data(), static_cast<size_t>(size)) == kMade;
}

}  // namespace

MadeDirectory::~MadeDirectory() {
  if (made_) rmdir(path_.c_str());
}

bool IsUnfinishedStore(int store_fd) {
  // If it is not a regular file it is not ours, and Begin would refuse it.
  return HasEntry(store_fd, FirstMount::kFileName) &&
         StoreFileOddity(store_fd, FirstMount::kFileName).empty();
}

FirstMount::FirstMount(int store_fd, MadeDirectory& directory, const BackendOptions& options)
    : store_fd_(store_fd),
      directory_(directory),
      backend_options_(options),
      cut_short_(IsUnfinishedStore(store_fd)) {}

void FirstMount::Begin() {
  const std::string attempted = "begin a new store";
  const UniqueFd note(
      openat(store_fd_, kFileName, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  CheckSyscall(note.get(), attempted);
  under_way_ = true;
  const std::string_view text = directory_.was_made() ? kMade : kFound;
  CheckSyscall(write(note.get(), text.data(), text.size()), attempted);
  CheckSyscall(fsync(note.get()), attempted);
  SyncDirectory(store_fd_);
  Failpoint("first.after-note");
}

void FirstMount::Finish() {
  if (!under_way_ && !cut_short_) return;
  Failpoint("first.before-finish");
  if (unlinkat(store_fd_, kFileName, 0) != 0 && errno != ENOENT) ThrowErrno("finish a new store");
  // If power fails before this, and the note comes back: nothing was put into the store yet.
  SyncDirectory(store_fd_);
  under_way_ = cut_short_ = nothing_there_ = false;
  directory_.Keep();
  Failpoint("first.after-finish");
}

void FirstMount::TakeAway() const {
  const std::string catalog = Catalog::kFileName;
  for (const std::string& name : {catalog, catalog + ".new"}) {
    for (const char* suffix : Catalog::kSuffixes) RemoveFile(store_fd_, name + suffix);
  }
  RemoveFile(store_fd_, SpaceReserve::kFileName);
  RemoveBackends(store_fd_, backend_options_);
  // Last: if killed before this, the next mount removes what is left.
  RemoveFile(store_fd_, kFileName);
}

void FirstMount::TakeAwayRest() {
  if (SaysMade(store_fd_)) directory_.NoteMade();
  TakeAway();
  SyncDirectory(store_fd_);
  cut_short_ = false;
}

FirstMount::~FirstMount() {
  if (!under_way_) return;
  try {
    TakeAway();
  } catch (const std::exception& error) {
    spdlog::warn("take away a store that could not be mounted: {}; the next mount does it",
                 error.what());
  }
}

}  // namespace ckptfs
