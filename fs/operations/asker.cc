#include "fs/operations/asker.h"

#include <fmt/format.h>
#include <linux/capability.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace ckptfs {
namespace {

// The capabilities that rights checks use (rights.cc).
constexpr std::array kAskedFor = {CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER};

constexpr uint64_t Bit(int capability) { return uint64_t{1} << static_cast<unsigned>(capability); }

uint64_t EffectiveCapabilities(pid_t thread) {
  constexpr std::string_view kField = "CapEff:";
  constexpr int kHexadecimal = 16;
  std::ifstream status(fmt::format("/proc/{}/status", thread));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(kField)) {
      return std::strtoull(line.c_str() + kField.size(), nullptr, kHexadecimal);
    }
  }
  return 0;
}

// user_namespaces(7): first id inside, first id in the reader's namespace, count.
std::vector<Powers::IdRange> ReadMap(pid_t thread, const char* name) {
  std::vector<Powers::IdRange> ranges;
  std::ifstream map(fmt::format("/proc/{}/{}", thread, name));
  uint64_t inside = 0;
  Powers::IdRange range;
  while (map >> inside >> range.first >> range.count) ranges.push_back(range);
  return ranges;
}

bool Contain(const std::vector<Powers::IdRange>& ranges, uint64_t id) {
  return std::any_of(ranges.begin(), ranges.end(), [id](const Powers::IdRange& range) {
    return id >= range.first && id - range.first < range.count;
  });
}

}  // namespace

bool Powers::Over(int capability, uid_t owner, gid_t group) const {
  return (capabilities_ & Bit(capability)) != 0 && Contain(users_, owner) &&
         Contain(groups_, group);
}

Powers PowersOf(pid_t thread) {
  if (thread <= 0) return {};
  const uint64_t capabilities = EffectiveCapabilities(thread);
  // Most threads have none, and then this is all that the check costs.
  if (std::none_of(kAskedFor.begin(), kAskedFor.end(),
                   [=](int capability) { return (capabilities & Bit(capability)) != 0; })) {
    return {};
  }
  return {capabilities, ReadMap(thread, "uid_map"), ReadMap(thread, "gid_map")};
}

}  // namespace ckptfs
