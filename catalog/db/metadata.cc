#include "catalog/db/metadata.h"

#include <fmt/format.h>

#include <cerrno>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/json_bounds.h"
#include "catalog/db/records.h"

namespace ckptfs {
namespace {

constexpr int kMaxMetadataDepth = 64;  // printing JSON recurses

}  // namespace

Metadata Metadata::Checked(std::string json) {
  constexpr char kAttempted[] = "set a snapshot's metadata";
  if (json.size() > kMaxMetadataBytes) {
    throw Error(EINVAL, kAttempted,
                fmt::format("it has {} bytes; the maximum is {}", json.size(), kMaxMetadataBytes));
  }
  const JsonVerdict verdict =
      CheckJson(json, {.depth_max = kMaxMetadataDepth, .must_be_object = true});
  if (verdict == JsonVerdict::kTooDeep) {
    throw Error(EINVAL, kAttempted,
                fmt::format("it is nested deeper than {} levels", kMaxMetadataDepth));
  }
  if (verdict != JsonVerdict::kGood) throw Error(EINVAL, kAttempted, "it is not a JSON object");
  Metadata metadata;
  metadata.json_ = std::move(json);
  return metadata;
}

}  // namespace ckptfs
