#include "backend/dm/snapshot_home.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/partial_file.h"
#include "backend/disk_space.h"
#include "backend/dm/device_mapper.h"
#include "backend/dm/template_store.h"

namespace ckptfs {
namespace {

constexpr char kMarkName[] = "dm-snapshot.json";
constexpr char kBasesDirectory[] = "bases";
constexpr char kCowDirectory[] = "cow";
constexpr char kMetaDirectory[] = "meta";
constexpr char kPlace[] = "its directory";
constexpr char kPutBack[] =
    "Put the store's files back from where they were moved to, or from a backup";

SnapshotHome OpenDirectories(int store_fd) {
  SnapshotHome home;
  home.store = UniqueFd(CheckSyscall(openat(store_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                                     "open the store's directory"));
  home.bases = OpenStoreSubdirectory(store_fd, kBasesDirectory, kPlace, kPutBack);
  home.cow = OpenStoreSubdirectory(store_fd, kCowDirectory, kPlace, kPutBack);
  home.meta = OpenStoreSubdirectory(store_fd, kMetaDirectory, kPlace, kPutBack);
  return home;
}

// Written last: without it there is no store yet.
void WriteMark(int store_fd, uint64_t default_size) {
  PartialFile mark(store_fd, kMarkName);
  mark.Write(nlohmann::json{{"format", 1}, {"default_size_bytes", default_size}}.dump(2) + "\n");
  mark.Keep();
}

uint64_t ReadMark(int store_fd) {
  const std::string attempted = fmt::format("read {} of the store", kMarkName);
  const UniqueFd fd(
      CheckSyscall(openat(store_fd, kMarkName, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), attempted));
  std::string text(4096, '\0');
  text.resize(
      static_cast<size_t>(CheckSyscall(read(fd.get(), text.data(), text.size()), attempted)));
  try {
    const auto json = nlohmann::json::parse(text);
    if (json.at("format") != 1) {
      throw Error(ENOTSUP, attempted, "it was made by a newer ckptfs", "Mount it with that one");
    }
    return json.at("default_size_bytes");
  } catch (const nlohmann::json::exception&) {
    throw Error(EUCLEAN, attempted, "it is damaged", kPutBack);
  }
}

}  // namespace

std::optional<std::string> SnapshotHomeObstacle(int /*store_fd*/) {
  std::string obstacle = DmObstacle();
  if (obstacle.empty()) return std::nullopt;
  return obstacle;
}

void CreateSnapshotHome(int store_fd, const BackendOptions& options) {
  const uint64_t size = options.size_bytes.value_or(DefaultStoreBytes(ReadDiskSpace(store_fd)));
  // If power goes before the mark is there: directories, and perhaps a template, of which the next
  // creation makes use or another one.
  for (const char* name : {kBasesDirectory, kCowDirectory, kMetaDirectory}) {
    MakeDirectory(store_fd, name);
  }
  const SnapshotHome home = OpenDirectories(store_fd);
  Failpoint("dm-create.after-directories");
  RemovePartialFiles(home.bases.get());
  TemplateStore templates(home.bases.get(), home.cow.get(), size);
  for (const TemplateInfo& info : templates.List()) templates.Remove(info.id);
  templates.Begin(kDefaultTemplate, "ext4", size)->Finish();
  Failpoint("dm-create.after-template");
  WriteMark(home.store.get(), size);
  CheckSyscall(fsync(home.store.get()), "make the new store durable");
  Failpoint("dm-create.done");
}

SnapshotHome OpenSnapshotHome(int store_fd, const BackendOptions& options) {
  if (const auto obstacle = SnapshotHomeObstacle(store_fd)) {
    throw Error(ENODEV, "open the volumes of the store", *obstacle,
                "Load the kernel's module dm-snapshot");
  }
  SnapshotHome home = OpenDirectories(store_fd);
  home.read_only = options.read_only;
  home.default_size = ReadMark(store_fd);
  if (options.size_bytes && *options.size_bytes != home.default_size) {
    throw Error(
        EINVAL, fmt::format("open the store with size={}", *options.size_bytes),
        fmt::format("its workspaces have {} bytes, as their template has", home.default_size),
        "Leave size= out, and add a template of another size: ckpt template add --size");
  }
  if (const size_t left = RemoveDmDevices(DevicePrefix(home)); left > 0) {
    spdlog::info("removed {} devices that a daemon which died has left", left);
  }
  if (home.read_only) return home;
  RemovePartialFiles(home.cow.get());
  RemovePartialFiles(home.bases.get());
  return home;
}

bool SnapshotHomeExists(int store_fd) { return HasEntry(store_fd, kMarkName); }

std::string DevicePrefix(const SnapshotHome& home) {
  struct stat status {};
  CheckSyscall(fstat(home.cow.get(), &status), "look at the directory of volumes");
  return fmt::format("CKPTFS-{:x}-{:x}-", status.st_dev, status.st_ino);
}

}  // namespace ckptfs
