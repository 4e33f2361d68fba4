// JSON that is written in place, and found as it was or as it is after a power cut.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace ckptfs {

// So many bytes at the beginning of a file are taken: a block of every disk in use.
inline constexpr uint64_t kSectorJsonBytes = 4096;

// Durable with the next fdatasync(2) of the file. The text has to be shorter than a sector of any disk
// (512 bytes), which is written whole or not at all; EOVERFLOW if it is not, ENOSPC.
void WriteSectorJson(int fd, const nlohmann::json& json, const std::string& attempted);

// Discarded (json::is_discarded) if it is no JSON. Throws Error.
nlohmann::json ReadSectorJson(int fd, const std::string& attempted);

}  // namespace ckptfs
