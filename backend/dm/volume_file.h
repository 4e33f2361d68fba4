// The file of a volume: its header and, on dm-snapshot, its CoW store.
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

// The size of the header at the beginning of a volume's file; on dm-snapshot, the CoW store follows. One
// block of every disk in use, so that the loop device on the rest can use direct I/O.
inline constexpr uint64_t kVolumeHeaderBytes = kSectorJsonBytes;

// The header of a volume's file. It is in the file, and not beside it or in an extended attribute, so that a
// copy of the file is a copy of the volume.
struct VolumeHeader {
  TemplateId base;
  bool read_only = false;
  // Attached for writing. If the volume is not attached, its last user did not end cleanly: the filesystem
  // has a journal to replay, and `marker` is stale.
  bool in_use = false;
  uint64_t marker = 0;  // Backend::ChangeMarker
  // On dm-thin: the id of its device in the pool.
  std::optional<uint32_t> thin_device;

  bool operator==(const VolumeHeader&) const = default;
};

// A number that no volume has had (Backend::ChangeMarker).
uint64_t NewMarker();

// "<uuid>.volume". The inverse returns empty for any other `name`.
std::string VolumeFileName(const VolumeId& id);
std::optional<VolumeId> VolumeOfFile(std::string_view name);

// For a destroyed volume whose space has not been freed yet.
std::string DestroyedFileName(const VolumeId& id);
std::optional<VolumeId> VolumeOfDestroyedFile(std::string_view name);

// In the directory of volumes. ENOENT if there is none, EUCLEAN if it is not a regular file.
UniqueFd OpenVolumeFile(int cow_fd, const VolumeId& id, int flags);

// Throws Error EUCLEAN if it has no readable header.
VolumeHeader ReadVolumeHeader(int fd);

// In place; see WriteSectorJson.
void WriteVolumeHeader(int fd, const VolumeHeader& header);

}  // namespace ckptfs
