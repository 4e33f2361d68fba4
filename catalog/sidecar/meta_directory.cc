#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/open_beneath.h"
#include "backend/base/store_file.h"
#include "backend/base/unique_fd.h"
#include "backend/base/write_out.h"
#include "catalog/sidecar/sidecar.h"

namespace ckptfs {
namespace {

constexpr std::string_view kSuffix = ".json";
constexpr std::string_view kNewSuffix = ".new";
constexpr char kGenerationXattr[] = "user.ckptfs.generation";
// A message and metadata of 64 KiB each, at worst escaped to six bytes per byte, and the rest.
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 20;

std::string FileName(const VolumeId& volume) { return volume.str() + std::string(kSuffix); }

void WriteAll(int fd, std::string_view text, const std::string& name) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) ThrowErrno("write " + name);
    text.remove_prefix(static_cast<size_t>(written));
  }
}

// The volume whose sidecar has that name.
std::optional<VolumeId> VolumeOf(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  return VolumeId::Parse(name);
}

// Whether Replace may have left a file of that name.
bool IsLeftover(std::string_view name) {
  if (!name.ends_with(kNewSuffix)) return false;
  name.remove_suffix(kNewSuffix.size());
  return name == MetaDirectory::kStoreFileName || VolumeOf(name).has_value();
}

}  // namespace

void MetaDirectory::HandToDisk(int file_fd) const {
  if (needs_fsync_) {
    CheckSyscall(fsync(file_fd), "write out a sidecar");
  } else {
    WriteOutData(file_fd);
  }
}

// A new file with that content, which has no name yet. It has as much of the disk as it needs, and is written out.
UniqueFd MetaDirectory::Written(const std::string& name, std::string_view text) const {
  try {
    UniqueFd file = OpenBeneath(fd_, ".", O_WRONLY | O_TMPFILE, 0600);
    if (!file.valid()) ThrowErrno("create " + name);
    WriteAll(file.get(), text, name);
    HandToDisk(file.get());
    return file;
  } catch (const Error& error) {
    const bool is_full = error.errno_value() == ENOSPC || error.errno_value() == EDQUOT;
    UniqueFd spare = is_full && spares_ ? spares_->Take() : UniqueFd();
    if (!spare.valid()) throw;
    WriteAll(spare.get(), text, name);
    HandToDisk(spare.get());
    return spare;
  }
}

void MetaDirectory::Replace(const std::string& name, std::string_view text) const {
  const std::string aside = name + std::string(kNewSuffix);
  const ReaderLock writing(replacing_);
  if (unlinkat(fd_, aside.c_str(), 0) != 0 && errno != ENOENT) ThrowErrno("create " + aside);
  const UniqueFd file = Written(aside, text);
  CheckSyscall(linkat(file.get(), "", fd_, aside.c_str(), AT_EMPTY_PATH), "create " + aside);
  try {
    // On disk if power fails from here on: the old file; the temporary one is a leftover, which the next
    // recovery removes.
    CheckSyscall(renameat(fd_, aside.c_str(), fd_, name.c_str()), "rename " + aside);
  } catch (...) {
    unlinkat(fd_, aside.c_str(), 0);
    throw;
  }
  if (spares_) spares_->Refill();
}

// Cheaper than Replace, above all for the commit that follows: a temporary name touches other parts of the
// directory than the final one.
void MetaDirectory::Create(const Sidecar& sidecar) const {
  const std::string name = FileName(sidecar.volume);
  // On disk if power fails before the file has its name: nothing. After: all of it.
  const UniqueFd file = Written(name, SerializeSidecar(sidecar));
  CheckSyscall(linkat(file.get(), "", fd_, name.c_str(), AT_EMPTY_PATH), "create " + name);
}

std::optional<std::string> MetaDirectory::Slurp(const std::string& name) const {
  const UniqueFd file = TryOpenStoreFile(fd_, name, O_RDONLY, kMaxFileBytes);
  if (!file.valid()) {
    if (errno == ENOENT) return std::nullopt;
    if (errno == EUCLEAN) {
      throw Error(EUCLEAN, "read " + name, StoreFileOddity(fd_, name, kMaxFileBytes));
    }
    ThrowErrno("open " + name);
  }
  struct stat status {};
  CheckSyscall(fstat(file.get(), &status), "stat " + name);
  std::string text(static_cast<size_t>(status.st_size), '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = read(file.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    // A wrong checksum (EIO) means that only this file is damaged.
    if (got < 0) throw Error(EUCLEAN, "read " + name, std::generic_category().message(errno));
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  text.resize(filled);
  return text;
}

void MetaDirectory::Write(const Sidecar& sidecar) const {
  Replace(FileName(sidecar.volume), SerializeSidecar(sidecar));
}

std::optional<Sidecar> MetaDirectory::Read(const VolumeId& volume) const {
  const std::optional<std::string> text = Slurp(FileName(volume));
  if (!text) return std::nullopt;
  Sidecar sidecar = ParseSidecar(*text);
  if (sidecar.volume != volume) {
    throw Error(EUCLEAN, "read " + FileName(volume), "it is about another volume");
  }
  return sidecar;
}

bool MetaDirectory::Remove(const VolumeId& volume) const {
  const std::string name = FileName(volume);
  if (unlinkat(fd_, name.c_str(), 0) == 0) {
    if (spares_) spares_->Refill();
    return true;
  }
  if (errno == ENOENT) return false;
  ThrowErrno("remove " + name);
}

bool MetaDirectory::RemoveLeftover(const std::string& name) const {
  if (!IsLeftover(name)) return false;
  const WriterLock nobody_writes(replacing_);
  if (unlinkat(fd_, name.c_str(), 0) == 0) return true;
  if (errno == ENOENT) return false;
  ThrowErrno("remove " + name);
}

std::optional<UnfinishedFile> MetaDirectory::StatusOf(const VolumeId& volume) const {
  return FindUnfinishedFile(fd_, FileName(volume));
}

std::optional<UnfinishedFile> MetaDirectory::StatusOfLeftover(const std::string& name) const {
  return FindUnfinishedFile(fd_, name);
}

MetaDirectory::Listing MetaDirectory::List() const {
  Listing listing;
  for (const std::string& name : ReadDirectory(fd_)) {
    if (name == MetaDirectory::kStoreFileName) continue;
    std::optional<Uuid> volume = VolumeOf(name);
    if (IsLeftover(name)) {
      listing.leftovers.push_back(name);
    } else if (volume) {
      listing.sidecars.push_back(*std::move(volume));
    } else {
      listing.foreign.push_back(name);
    }
  }
  return listing;
}

uint64_t MetaDirectory::Generation() const {
  std::array<char, 32> text{};
  const ssize_t size = fgetxattr(fd_, kGenerationXattr, text.data(), text.size());
  if (size < 0 && errno == ENODATA) return 0;
  if (size < 0 && errno != ERANGE) ThrowErrno("read the store's generation");
  uint64_t generation = 0;
  const char* const limit = text.data() + std::max<ssize_t>(size, 0);
  const auto [end, error] = std::from_chars(text.data(), limit, generation);
  if (error != std::errc{} || end != limit || generation > kMaxGeneration) {
    throw Error(EUCLEAN, "read the store's generation", "it is not a valid generation number");
  }
  return generation;
}

void MetaDirectory::SetGeneration(uint64_t generation) const {
  const std::string text = fmt::format("{}", generation);
  CheckSyscall(fsetxattr(fd_, kGenerationXattr, text.data(), text.size(), 0),
               "write the store's generation");
}

}  // namespace ckptfs
