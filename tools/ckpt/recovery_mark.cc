#include "tools/ckpt/recovery_mark.h"

#include <nlohmann/json.hpp>

#include "backend/base/error.h"
#include "backend/base/json_bounds.h"
#include "fs/control/control_wire.h"

namespace ckptfs::cli {
namespace {

using Json = nlohmann::json;

constexpr const char* kKind = "kind";
constexpr const char* kKindValue = "a copy that 'ckpt recover' is making";
constexpr size_t kValuesMax = 100000;  // a name that is not UTF-8 has one for each byte

RecoveryMark MarkFromJson(const Json& json) {
  const auto bytes = [&json](const char* field) {
    return wire::ToBytes(json.at(field), "read the mark of a recovery");
  };
  RecoveryMark mark;
  mark.name = bytes("name");
  mark.link = bytes("link");
  mark.workspace = bytes("workspace");
  mark.snapshot = bytes("snapshot");
  mark.snapshot_id = bytes("snapshot_id");
  mark.copy_inode = json.at("copy_inode").get<uint64_t>();
  return mark;
}

}  // namespace

std::string FormatMark(const RecoveryMark& mark) {
  return Json{{kKind, kKindValue},
              {"name", wire::FromBytes(mark.name)},
              {"link", wire::FromBytes(mark.link)},
              {"workspace", wire::FromBytes(mark.workspace)},
              {"snapshot", wire::FromBytes(mark.snapshot)},
              {"snapshot_id", wire::FromBytes(mark.snapshot_id)},
              {"copy_inode", mark.copy_inode}}
             .dump() +
         "\n";
}

std::optional<RecoveryMark> ParseMark(std::string_view text) {
  if (CheckJson(text, {.values_max = kValuesMax, .must_be_object = true}) != JsonVerdict::kGood) {
    return std::nullopt;
  }
  try {
    const Json json = Json::parse(text);
    if (json.at(kKind) != kKindValue) return std::nullopt;
    return MarkFromJson(json);
  } catch (const Json::exception&) {
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace ckptfs::cli
