// Sidecars that somebody has made up, of volumes that are there: whatever they say, a catalog can be made of
// them, and is sound. Each volume takes its sidecar from the input, field by field out of a few values, so that
// they meet each other; or as raw text.
#include <fcntl.h>
#include <fmt/format.h>
#include <fuzzer/FuzzedDataProvider.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <vector>

#include "backend/base/error.h"
#include "backend/registry.h"
#include "catalog/db/catalog_transaction.h"
#include "catalog/recovery/rebuild.h"
#include "catalog/sidecar/sidecar.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

constexpr int kVolumes = 6;  // of which the last two are read-only
constexpr char kRebuilt[] = "rebuilt.db";

Uuid Numbered(int number) {
  return *Uuid::Parse(fmt::format("00000000-0000-4000-8000-{:012}", number));
}

// Volumes on a real btrfs image.
class Place {
 public:
  Place() {
    BackendOptions options;
    options.size_bytes = uint64_t{128} << 20;
    CreateBackend(directory_.fd(), "btrfs-loop", options);
    backend_ = OpenBackend(directory_.fd(), "btrfs-loop", {});
    for (int i = 0; i < kVolumes; ++i) {
      backend_->CreateEmpty(Numbered(i));
      if (i >= kVolumes - 2) backend_->Seal(Numbered(i));
    }
  }
  const TestDirectory& directory() const { return directory_; }
  const Backend& backend() const { return *backend_; }

 private:
  TestDirectory directory_;
  std::unique_ptr<Backend> backend_;
};

std::string SomeName(FuzzedDataProvider& input) {
  static const std::string long_name = [] {
    std::string name;
    while (name.size() < 254) name += "é";
    return name;
  }();
  switch (input.ConsumeIntegralInRange(0, 3)) {
    case 0:
      return "a";
    case 1:
      return long_name;
    case 2:
      return "a-2";
    default:
      return input.ConsumeRandomLengthString(20);
  }
}

uint64_t SomeView(FuzzedDataProvider& input) {
  static constexpr std::array<uint64_t, 8> kViews = {1,    2,    4095,         4096,
                                                     8191, 8192, kMaxView - 1, kMaxView};
  return input.PickValueInArray(kViews);
}

int64_t SomeTime(FuzzedDataProvider& input) {
  static constexpr std::array<int64_t, 5> kTimes = {0, 1, -1, kTimeNsMax, -kTimeNsMax};
  return input.PickValueInArray(kTimes);
}

Uuid SomeId(FuzzedDataProvider& input) {
  return Numbered(input.ConsumeIntegralInRange(0, kVolumes));
}

std::string SomeSidecar(FuzzedDataProvider& input, const VolumeId& volume) {
  if (input.ConsumeIntegralInRange(0, 9) == 0) return input.ConsumeRandomLengthString(500);
  Sidecar sidecar;
  sidecar.volume = volume;
  sidecar.role = input.PickValueInArray({SidecarRole::kWorkspace, SidecarRole::kSnapshot,
                                         SidecarRole::kSnapshot, SidecarRole::kScratch});
  sidecar.state = input.PickValueInArray({SidecarState::kCommitted, SidecarState::kCommitted,
                                          SidecarState::kPrepared, SidecarState::kFilling});
  sidecar.generation =
      input.PickValueInArray({uint64_t{0}, uint64_t{1}, uint64_t{2}, kMaxGeneration});
  sidecar.workspace = {.name = SomeName(input),
                       .volume = SomeId(input),
                       .created_ns = SomeTime(input),
                       .view = SomeView(input)};
  sidecar.workspace.parent_marker = input.ConsumeIntegralInRange<uint64_t>(0, UINT64_MAX);
  sidecar.snapshot = {
      .uuid = SomeId(input), .name = SomeName(input), .created_ns = SomeTime(input)};
  sidecar.snapshot.kind = input.ConsumeBool() ? SnapshotKind::kManual : SnapshotKind::kPreRollback;
  sidecar.snapshot.view = SomeView(input);
  sidecar.snapshot.root.mode = S_IFDIR | 0755;
  if (input.ConsumeBool()) sidecar.parent = SomeId(input);
  return SerializeSidecar(sidecar);
}

void Fuzz(FuzzedDataProvider& input) {
  static const Place place;
  const int meta_fd = place.backend().meta_fd();
  const MetaDirectory meta(meta_fd);
  for (int i = 0; i < kVolumes; ++i) {
    const std::string name = Numbered(i).str() + ".json";
    if (input.ConsumeIntegralInRange(0, 9) == 0) {
      unlinkat(meta_fd, name.c_str(), 0);
    } else {
      WriteFileAt(meta_fd, name, SomeSidecar(input, Numbered(i)));
    }
  }
  const RebuildPlan plan = PlanRebuild(place.backend(), meta, {});
  const int fd = place.directory().fd();
  for (const char* suffix : Catalog::kSuffixes)
    unlinkat(fd, (std::string(kRebuilt) + suffix).c_str(), 0);
  Catalog::Create(fd, kRebuilt,
                  {.uuid = Numbered(1000),
                   .created_ns = 1,
                   .backend_type = "btrfs-loop",
                   .backend_selection = "auto",
                   .backend_selected_ns = 1});
  {
    const auto catalog = Catalog::Open(fd, kRebuilt, CatalogCheck::kQuick);
    Catalog::Transaction transaction(*catalog);
    ApplyRebuild(plan, transaction);
    transaction.Commit();
  }
  const auto catalog = Catalog::Open(fd, kRebuilt, CatalogCheck::kFull);
  if (!catalog->Verify().empty()) std::abort();
}

}  // namespace
}  // namespace ckptfs

extern "C" int LLVMFuzzerInitialize(int* /*count*/, char*** /*arguments*/) {
  spdlog::set_level(spdlog::level::off);
  // Without rights or loop devices there is nothing to try it on.
  if (!ckptfs::CanUseLoopDevices()) std::exit(77);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider input(data, size);
  ckptfs::Fuzz(input);
  return 0;
}
