// JSON that is updated in place, atomically even across a power failure.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace ckptfs {

// The space reserved at the beginning of a file: one block of every disk in use.
inline constexpr uint64_t kSectorJsonBytes = 4096;

// Durable with the next fdatasync(2) of the file. The text must be shorter than a sector of any disk (512
// bytes), which is written atomically; else EOVERFLOW. Also throws ENOSPC.
void WriteSectorJson(int fd, const nlohmann::json& json, const std::string& attempted);

// Discarded (json::is_discarded) if it is not JSON. Throws Error.
nlohmann::json ReadSectorJson(int fd, const std::string& attempted);

}  // namespace ckptfs
