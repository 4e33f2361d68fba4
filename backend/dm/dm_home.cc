#include "backend/dm/dm_home.h"

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
#include "backend/base/json_number.h"
#include "backend/base/partial_file.h"
#include "backend/base/store_file.h"
#include "backend/dm/device_mapper.h"
#include "backend/dm/template_store.h"
#include "backend/dm/volume_file.h"

namespace ckptfs {
namespace {

constexpr char kBasesDirectory[] = "bases";
constexpr char kMetaDirectory[] = "meta";
constexpr char kPlace[] = "its directory";
constexpr size_t kMarkBytesMax = 16384;
constexpr char kPutBack[] =
    "Put the store's files back from where they were moved to, or from a backup";

bool IsVolumeFile(std::string_view name) { return VolumeOfFile(name).has_value(); }

}  // namespace

std::optional<std::string> DmHomeObstacle(int /*store_fd*/) {
  std::string obstacle = DmObstacle();
  if (obstacle.empty()) return std::nullopt;
  return obstacle;
}

void RequireDmHome(int store_fd, const std::string& module) {
  if (const auto obstacle = DmHomeObstacle(store_fd)) {
    throw Error(ENODEV, "open the volumes of the store", *obstacle,
                "Load the kernel's module " + module);
  }
}

UniqueFd OpenDmDirectory(int store_fd, const std::string& name) {
  return OpenStoreSubdirectory(store_fd, name, kPlace, kPutBack);
}

DmHome OpenDmHome(int store_fd, const std::string& volumes_name) {
  DmHome home;
  home.bases = OpenDmDirectory(store_fd, kBasesDirectory);
  home.volumes = OpenDmDirectory(store_fd, volumes_name);
  home.meta = OpenDmDirectory(store_fd, kMetaDirectory);
  home.volumes_name = volumes_name;
  return home;
}

bool HasDmVolumes(int store_fd, const std::string& volumes_name) {
  const UniqueFd fd = TryOpenStoreSubdirectory(store_fd, volumes_name);
  if (!fd.valid()) return false;
  const std::vector<std::string> names = ReadDirectory(fd.get());
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return VolumeOfFile(name) || VolumeOfDestroyedFile(name);
  });
}

void RemoveUnfinishedHome(int store_fd, const std::vector<std::string>& names) noexcept {
  for (const std::string& name : names) {
    try {
      RemoveTree(store_fd, name);
    } catch (const std::exception& error) {
      spdlog::warn("{}, of a store that could not be made", error.what());
    }
  }
}

void RemoveDmHome(int store_fd, const std::string& volumes_name, const std::string& mark_name) {
  if (HasDmVolumes(store_fd, volumes_name)) {
    throw Error(EEXIST, "remove " + volumes_name, "there are volumes in it");
  }
  for (const std::string& name : {mark_name + std::string(kPartialSuffix), mark_name}) {
    if (unlinkat(store_fd, name.c_str(), 0) != 0 && errno != ENOENT) ThrowErrno("remove " + name);
  }
  RemoveUnfinishedHome(store_fd, {kBasesDirectory, volumes_name, kMetaDirectory});
}

namespace {

// MakeDmHome without the cleanup.
DmHome Fill(int store_fd, const std::string& volumes_name, uint64_t template_bytes) {
  for (const std::string& name :
       {std::string(kBasesDirectory), volumes_name, std::string(kMetaDirectory)}) {
    MakeDirectory(store_fd, name);
  }
  DmHome home = OpenDmHome(store_fd, volumes_name);
  Failpoint("dm-create.after-directories");
  RemovePartialFiles(home.bases.get(), IsTemplateFile);
  TemplateStore templates(home.bases.get(), home.volumes.get(), {.default_size = template_bytes});
  for (const TemplateInfo& info : templates.List()) templates.Remove(info.id);
  templates.Begin(kDefaultTemplate, "ext4", template_bytes)->Finish();
  Failpoint("dm-create.after-template");
  return home;
}

}  // namespace

DmHome MakeDmHome(int store_fd, const std::string& volumes_name, uint64_t template_bytes) {
  try {
    return Fill(store_fd, volumes_name, template_bytes);
  } catch (...) {
    RemoveUnfinishedHome(store_fd, {kBasesDirectory, volumes_name, kMetaDirectory});
    throw;
  }
}

void ClearDmHome(const DmHome& home) {
  if (const size_t left = RemoveDmDevices(DevicePrefix(home)); left > 0) {
    spdlog::info("removed {} devices left by a daemon that died", left);
  }
  if (home.read_only) return;
  RemovePartialFiles(home.volumes.get(), IsVolumeFile);
  RemovePartialFiles(home.bases.get(), IsTemplateFile);
}

namespace {

void AddLeftovers(int directory_fd, const std::string& directory, const IsOwnName& is_own,
                  std::vector<LeftoverFile>& leftovers) {
  for (UnfinishedFile& file : FindPartialFiles(directory_fd, is_own)) {
    leftovers.push_back({.name = fmt::format("{}/{}", directory, file.name),
                         .bytes = file.bytes,
                         .changed_ns = file.changed_ns});
  }
}

}  // namespace

std::vector<LeftoverFile> DmLeftovers(const DmHome& home) {
  std::vector<LeftoverFile> leftovers;
  AddLeftovers(home.volumes.get(), home.volumes_name, IsVolumeFile, leftovers);
  AddLeftovers(home.bases.get(), kBasesDirectory, IsTemplateFile, leftovers);
  return leftovers;
}

bool RemoveDmLeftover(const DmHome& home, const std::string& name) {
  const size_t slash = name.find('/');
  if (slash == std::string::npos) return false;
  const bool is_base = name.substr(0, slash) == kBasesDirectory;
  return RemoveUnfinishedFile(is_base ? home.bases.get() : home.volumes.get(),
                              name.substr(slash + 1));
}

std::string DevicePrefix(const DmHome& home) {
  struct stat status {};
  CheckSyscall(fstat(home.volumes.get(), &status), "look at the directory of volumes");
  return fmt::format("CKPTFS-{:x}-{:x}-", status.st_dev, status.st_ino);
}

void WriteStoreMark(int store_fd, const std::string& name, const StoreMark& mark) {
  nlohmann::json json{{"format", 1}, {"default_size_bytes", mark.default_size}};
  if (!mark.data_device.empty()) {
    json["data_device"] = mark.data_device;
    json["metadata_device"] = mark.metadata_device;
  }
  PartialFile file(store_fd, name);
  file.Write(json.dump(2) + "\n");
  file.Keep();
  Failpoint("dm-create.done");
}

StoreMark ReadStoreMark(int store_fd, const std::string& name) {
  const std::string attempted = fmt::format("read {} of the store", name);
  const UniqueFd fd = TryOpenStoreFile(store_fd, name, O_RDONLY, kMarkBytesMax);
  if (!fd.valid() && errno == EUCLEAN) {
    throw Error(EUCLEAN, attempted, StoreFileOddity(store_fd, name, kMarkBytesMax), kPutBack);
  }
  if (!fd.valid() && errno == ENOENT) {
    throw Error(ENOENT, attempted, "it is not there, and volumes are", kPutBack);
  }
  CheckSyscall(fd.get(), attempted);
  std::string text(kMarkBytesMax, '\0');
  text.resize(
      static_cast<size_t>(CheckSyscall(read(fd.get(), text.data(), text.size()), attempted)));
  try {
    const auto json = nlohmann::json::parse(text);
    if (json.at("format") != 1) {
      throw Error(ENOTSUP, attempted, "it was made by a newer ckptfs", "Mount it with that one");
    }
    return {.default_size = WholeNumber<uint64_t>(json.at("default_size_bytes")),
            .data_device = json.value("data_device", ""),
            .metadata_device = json.value("metadata_device", "")};
  } catch (const nlohmann::json::exception&) {
    throw Error(EUCLEAN, attempted, "it is damaged", kPutBack);
  }
}

}  // namespace ckptfs
