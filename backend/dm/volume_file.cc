#include "backend/dm/volume_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "backend/base/error.h"
#include "backend/base/json_number.h"
#include "backend/base/store_file.h"
#include "backend/dm/sector_json.h"

namespace ckptfs {
namespace {

constexpr char kHeaderFormat[] = "ckptfs volume 1";
constexpr char kReadingHeader[] = "read the header of a volume's file";
constexpr char kWritingHeader[] = "write the header of a volume's file";

constexpr std::string_view kSuffix = ".volume";
constexpr std::string_view kDestroyedSuffix = ".destroyed";

std::optional<VolumeId> IdBefore(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  name.remove_suffix(suffix.size());
  return VolumeId::Parse(name);
}

}  // namespace

std::string VolumeFileName(const VolumeId& id) { return id.str() + std::string(kSuffix); }

std::optional<VolumeId> VolumeOfFile(std::string_view name) { return IdBefore(name, kSuffix); }

std::string DestroyedFileName(const VolumeId& id) {
  return id.str() + std::string(kDestroyedSuffix);
}

std::optional<VolumeId> VolumeOfDestroyedFile(std::string_view name) {
  return IdBefore(name, kDestroyedSuffix);
}

UniqueFd OpenVolumeFile(int cow_fd, const VolumeId& id, int flags) {
  const std::string attempted = fmt::format("open volume {}", id.str());
  UniqueFd fd = TryOpenStoreFile(cow_fd, VolumeFileName(id), flags);
  if (!fd.valid() && errno == ENOENT) {
    throw Error(ENOENT, attempted, fmt::format("there is no volume {}", id.str()));
  }
  if (!fd.valid() && errno == EUCLEAN) {
    throw Error(EUCLEAN, attempted, "what has the name of its file is no regular file",
                fmt::format("Move {} out of the directory of volumes", VolumeFileName(id)));
  }
  CheckSyscall(fd.get(), attempted);
  return fd;
}

uint64_t NewMarker() {
  uint64_t marker = 0;
  while (marker == 0) {
    CheckSyscall(getrandom(&marker, sizeof(marker), 0), "make a random number");
    marker >>= 1;  // the catalog stores it as a signed number
  }
  return marker;
}

VolumeHeader ReadVolumeHeader(int fd) {
  const nlohmann::json json = ReadSectorJson(fd, kReadingHeader);
  try {
    VolumeHeader header;
    const std::string format = json.at("format");
    const std::optional<Uuid> base = Uuid::Parse(json.at("base").get<std::string>());
    if (format == kHeaderFormat && base) {
      header.base = *base;
      header.read_only = json.at("read_only");
      header.in_use = json.at("in_use");
      header.marker = WholeNumber<uint64_t>(json.at("marker"));
      if (json.contains("thin_device")) {
        header.thin_device = WholeNumber<uint32_t>(json.at("thin_device"));
      }
      return header;
    }
  } catch (const nlohmann::json::exception&) {
    // Reported below.
  }
  throw Error(EUCLEAN, kReadingHeader, "it is damaged, or not a volume's file",
              "Put the file back from a backup");
}

void WriteVolumeHeader(int fd, const VolumeHeader& header) {
  nlohmann::json json{{"format", kHeaderFormat},
                      {"base", header.base.str()},
                      {"read_only", header.read_only},
                      {"in_use", header.in_use},
                      {"marker", header.marker}};
  if (header.thin_device) json["thin_device"] = *header.thin_device;
  WriteSectorJson(fd, json, kWritingHeader);
}

}  // namespace ckptfs
