// The file in which a volume is kept: a CoW file with what belongs to it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "backend/base/unique_fd.h"
#include "backend/base/uuid.h"
#include "backend/templates.h"

namespace ckptfs {

// So many bytes of a volume's file come before what is dm-snapshot's. A block of every disk in use, so
// that the loop device on the rest can have direct I/O.
inline constexpr uint64_t kVolumeHeaderBytes = 4096;

// What a volume's file says of itself. It is in the file, and not beside it or in an extended attribute,
// so that a copy of the file is a copy of the volume.
struct VolumeHeader {
  TemplateId base;
  bool read_only = false;
  // Attached for writing. Of a volume that nobody has attached: its last user did not come to an end,
  // so the filesystem has a journal to play back, and `marker` is out of date.
  bool in_use = false;
  uint64_t marker = 0;  // Backend::ChangeMarker

  bool operator==(const VolumeHeader&) const = default;
};

// A number that no volume has had (Backend::ChangeMarker).
uint64_t NewMarker();

// "<uuid>.cow". Empty if `name` is none of these.
std::string VolumeFileName(const VolumeId& id);
std::optional<VolumeId> VolumeOfFile(std::string_view name);

// In the directory of volumes. ENOENT if there is none, EUCLEAN if it is no regular file.
UniqueFd OpenVolumeFile(int cow_fd, const VolumeId& id, int flags);

// Throws Error EUCLEAN if there is none that can be read.
VolumeHeader ReadVolumeHeader(int fd);

// In place, and durable with the next fdatasync(2) of the file. The text is shorter than a
// sector of any disk, which is written whole or not at all.
void WriteVolumeHeader(int fd, const VolumeHeader& header);

}  // namespace ckptfs
