// The file of a volume: what the volume says of itself and, on dm-snapshot, its CoW file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "backend/base/unique_fd.h"
#include "backend/base/uuid.h"
#include "backend/dm/sector_json.h"
#include "backend/interface/templates.h"

namespace ckptfs {

// So many bytes of a volume's file are its header; on dm-snapshot, the rest is that one's. A block of every disk in use, so
// that the loop device on the rest can have direct I/O.
inline constexpr uint64_t kVolumeHeaderBytes = kSectorJsonBytes;

// What a volume's file says of itself. It is in the file, and not beside it or in an extended attribute,
// so that a copy of the file is a copy of the volume.
struct VolumeHeader {
  TemplateId base;
  bool read_only = false;
  // Attached for writing. Of a volume that nobody has attached: its last user did not come to an end,
  // so the filesystem has a journal to play back, and `marker` is out of date.
  bool in_use = false;
  uint64_t marker = 0;  // Backend::ChangeMarker
  // On dm-thin: the id of its device in the pool.
  std::optional<uint32_t> thin_device;

  bool operator==(const VolumeHeader&) const = default;
};

// A number that no volume has had (Backend::ChangeMarker).
uint64_t NewMarker();

// "<uuid>.volume". Empty if `name` is none of these.
std::string VolumeFileName(const VolumeId& id);
std::optional<VolumeId> VolumeOfFile(std::string_view name);

// Of one that was destroyed, and has something left that is to be given back.
std::string DestroyedFileName(const VolumeId& id);
std::optional<VolumeId> VolumeOfDestroyedFile(std::string_view name);

// In the directory of volumes. ENOENT if there is none, EUCLEAN if it is no regular file.
UniqueFd OpenVolumeFile(int cow_fd, const VolumeId& id, int flags);

// Throws Error EUCLEAN if there is none that can be read.
VolumeHeader ReadVolumeHeader(int fd);

// In place; see WriteSectorJson.
void WriteVolumeHeader(int fd, const VolumeHeader& header);

}  // namespace ckptfs
