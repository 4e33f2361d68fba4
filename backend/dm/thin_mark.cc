#include "backend/dm/thin_mark.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"
#include "backend/dm/thin_pool.h"

namespace ckptfs {
namespace {

constexpr uint32_t kMarkDevice = 0;

// One sector of any disk, aligned for O_DIRECT: a former device of that number may have left stale data in
// the kernel's cache.
struct alignas(4096) MarkSector {
  std::array<char, 4096> bytes{};

  bool operator==(const MarkSector&) const = default;
};

MarkSector SectorOf(const Uuid& mark) {
  MarkSector sector;
  fmt::format_to_n(sector.bytes.data(), sector.bytes.size(), "{}{}\n", kThinMarkBeginning,
                   mark.str());
  return sector;
}

DmTable TableOf(const DmDevice& pool) {
  return {.sectors = kThinBlockBytes / kDmSectorBytes,
          .type = "thin",
          .parameters = fmt::format("{} {}", pool.Number(), kMarkDevice)};
}

}  // namespace

void WriteThinMark(DmDevice& pool, const std::string& name, const Uuid& mark) {
  try {
    pool.Message(fmt::format("create_thin {}", kMarkDevice));
  } catch (const Error& error) {
    if (error.errno_value() != EEXIST) throw;  // perhaps not yet written
  }
  const DmDevice device(name, name, TableOf(pool), /*read_only=*/false);
  const UniqueFd fd(
      CheckSyscall(open(device.path().c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC), "open " + name));
  const MarkSector sector = SectorOf(mark);
  CheckSyscall(pwrite(fd.get(), sector.bytes.data(), sector.bytes.size(), 0), "write to " + name);
  CheckSyscall(fsync(fd.get()), "write to " + name);
}

bool HasThinMark(const DmDevice& pool, const std::string& name, const Uuid& mark) {
  try {
    const DmDevice device(name, name, TableOf(pool), /*read_only=*/true);
    const UniqueFd fd(
        CheckSyscall(open(device.path().c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC), "open " + name));
    MarkSector found;
    CheckSyscall(pread(fd.get(), found.bytes.data(), found.bytes.size(), 0), "read " + name);
    return found == SectorOf(mark);
  } catch (const Error& error) {
    if (error.errno_value() == ENODATA) return false;  // the pool has no such device
    throw;
  }
}

}  // namespace ckptfs
