// What a thin pool has in its directory.
#pragma once

#include <cstdint>
#include <string>

#include "backend/base/unique_fd.h"
#include "backend/base/units.h"

namespace ckptfs {

inline constexpr char kThinDataName[] = "data.img";
inline constexpr char kThinMetadataName[] = "metadata.img";
inline constexpr char kThinStateName[] = "state";
// What to do where one of them is missing, or is another pool's.
inline constexpr char kPutThinPoolBack[] =
    "Put the files in pool/ and the volumes' directory back from one backup";

inline constexpr uint64_t kThinMetadataMaxBytes = 16192 * kMiB;  // THIN_METADATA_MAX_SECTORS

// The unit in which the pool gives out and shares space: what is changed of a block that a snapshot shares
// is copied with the whole block.
inline constexpr uint64_t kThinBlockBytes = uint64_t{64} << 10;

// Where a new pool is: on two block devices, or in files of that size.
struct ThinPoolPlace {
  std::string data_device;  // a path; empty: files
  std::string metadata_device;
  uint64_t data_bytes = 0;  // of files
};

// Makes what a pool has in its directory: state (backend/dm/thin_state.h) and, unless it is on devices,
// data.img and metadata.img, which are sparse. Durable on return. Throws as TakeBlankDevice does.
void MakeThinPool(int pool_fd, const ThinPoolPlace& place);
// Makes data.img longer if it is shorter, and metadata.img with it. EINVAL if it is longer already.
// Durable on return.
void GrowThinPoolFiles(int pool_fd, uint64_t data_bytes);

// Opens one of them. Throws Error: ENOENT, EUCLEAN (no regular file), each with what to do.
UniqueFd OpenThinPoolFile(int pool_fd, const char* name, int flags);

}  // namespace ckptfs
