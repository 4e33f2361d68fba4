// The files in a thin pool's directory.
#pragma once

#include <cstdint>
#include <string>

#include "backend/base/unique_fd.h"
#include "backend/base/units.h"

namespace ckptfs {

inline constexpr char kThinDataName[] = "data.img";
inline constexpr char kThinMetadataName[] = "metadata.img";
inline constexpr char kThinStateName[] = "state";
// The remedy if one of them is missing or belongs to another pool.
inline constexpr char kPutThinPoolBack[] =
    "Put the files in pool/ and the volumes' directory back from one backup";

inline constexpr uint64_t kThinMetadataMaxBytes = 16192 * kMiB;  // THIN_METADATA_MAX_SECTORS

// The unit in which the pool allocates and shares space: changing any part of a block that a snapshot shares
// copies the whole block.
inline constexpr uint64_t kThinBlockBytes = uint64_t{64} << 10;

// Where a new pool is stored: on two block devices, or in files of that size.
struct ThinPoolPlace {
  std::string data_device;  // a path; empty: files
  std::string metadata_device;
  uint64_t data_bytes = 0;  // of files
};

// Creates the files of a pool's directory: the state (backend/dm/thin_state.h) and, unless the pool is on
// devices, data.img and metadata.img, which are sparse. Durable on return. Throws as TakeBlankDevice does.
void MakeThinPool(int pool_fd, const ThinPoolPlace& place);
// Extends data.img to that size, and metadata.img accordingly. EINVAL if data.img is already larger. Durable
// on return.
void GrowThinPoolFiles(int pool_fd, uint64_t data_bytes);

// Opens one of them. Throws Error: ENOENT, EUCLEAN (not a regular file), each with the remedy.
UniqueFd OpenThinPoolFile(int pool_fd, const char* name, int flags);

}  // namespace ckptfs
