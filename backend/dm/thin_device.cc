#include "backend/dm/thin_device.h"

#include <fmt/format.h>

#include <cerrno>
#include <sstream>
#include <utility>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

constexpr uint64_t kLargerThanAny = uint64_t{1} << 50;

}  // namespace

ThinDevice::ThinDevice(const ThinPool& pool, uint32_t id, std::shared_ptr<const LoopDevice> base,
                       const std::string& name, bool read_only)
    : base_(std::move(base)),
      device_(name, name,
              {.sectors = base_->SizeBytes() / kDmSectorBytes,
               .type = "thin",
               .parameters = fmt::format("{} {} {}", pool.Number(), id, base_->Number())},
              read_only) {}

ThinDevice::ThinDevice(const ThinPool& pool, uint32_t id, const std::string& name)
    : device_(name, name,
              {.sectors = kLargerThanAny / kDmSectorBytes,
               .type = "thin",
               .parameters = fmt::format("{} {}", pool.Number(), id)},
              /*read_only=*/false) {}

uint64_t ThinDevice::MappedEnd() const {
  // "256 1023": number of mapped sectors, and the highest of them; "0 -" if there are none.
  const std::string status = device_.Status();
  std::istringstream words(status);
  uint64_t mapped = 0;
  uint64_t last = 0;
  if (!(words >> mapped)) {
    throw Error(EIO, "read the status of the device " + device_.name(),
                fmt::format("unknown status '{}'", status));
  }
  return mapped == 0 || !(words >> last) ? 0 : (last + 1) * kDmSectorBytes;
}

}  // namespace ckptfs
