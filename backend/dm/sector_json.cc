#include "backend/dm/sector_json.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

constexpr size_t kSectorBytes = 512;

}  // namespace

void WriteSectorJson(int fd, const nlohmann::json& json, const std::string& attempted) {
  std::string text = json.dump() + "\n";
  if (text.size() >= kSectorBytes) throw Error(EOVERFLOW, attempted, "it is too long");
  text.resize(kSectorJsonBytes);
  const ssize_t written = CheckSyscall(pwrite(fd, text.data(), text.size(), 0), attempted);
  if (static_cast<size_t>(written) != text.size()) throw Error(ENOSPC, attempted);
}

nlohmann::json ReadSectorJson(int fd, const std::string& attempted) {
  std::string text(kSectorBytes, '\0');
  const ssize_t got = CheckSyscall(pread(fd, text.data(), text.size(), 0), attempted);
  text.resize(static_cast<size_t>(got));
  text.resize(std::min(text.find('\0'), text.size()));
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace ckptfs
