#include "catalog/sidecar/sidecar.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

#include "backend/base/error.h"
#include "backend/base/json_number.h"
#include "backend/base/text.h"
#include "backend/base/time.h"
#include "catalog/db/records.h"

namespace ckptfs {
namespace {

using Json = nlohmann::ordered_json;
// For parsing: a lookup among ordered keys makes the time quadratic if there are many keys.
using ReadJson = nlohmann::json;

constexpr int kFormat = 1;

struct RoleName {
  SidecarRole role;
  const char* name;
};
constexpr std::array kRoles = {RoleName{SidecarRole::kWorkspace, "workspace"},
                               RoleName{SidecarRole::kSnapshot, "snapshot"},
                               RoleName{SidecarRole::kScratch, "scratch"}};

struct StateName {
  SidecarState state;
  const char* name;
};
constexpr std::array kStates = {StateName{SidecarState::kFilling, "filling"},
                                StateName{SidecarState::kPrepared, "prepared"},
                                StateName{SidecarState::kCommitted, "committed"}};

// The parser's messages quote the file, however long and odd that is.
[[noreturn]] void Damaged(std::string_view why) {
  constexpr size_t kMostTold = 200;
  throw Error(EUCLEAN, "read a sidecar", Excerpt(why, kMostTold));
}

std::string ToHex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<uint8_t>(byte));
  return text;
}

std::string FromHex(const std::string& text) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    Damaged("an ACL is no hexadecimal number");
  };
  if (text.size() % 2 != 0) Damaged("a value is cut short");
  std::string bytes;
  for (size_t at = 0; at < text.size(); at += 2) {
    bytes += static_cast<char>(digit(text[at]) * 16 + digit(text[at + 1]));
  }
  return bytes;
}

Json ToJson(const RootAttributes& root) {
  Json json = {{"mode", root.mode}, {"uid", root.uid}, {"gid", root.gid}};
  if (!root.acl.empty()) json["acl"] = ToHex(root.acl);
  if (!root.xattr_names.empty()) json["xattr_names"] = ToHex(root.xattr_names);
  return json;
}

uint64_t NumberFrom(const ReadJson& json, uint64_t max) {
  const auto number = WholeNumber<uint64_t>(json);
  if (number > max) Damaged("a number is out of range");
  return number;
}

RootAttributes RootFrom(const ReadJson& json) {
  RootAttributes root;
  constexpr uint64_t kMax = std::numeric_limits<uint32_t>::max();
  root.mode = static_cast<mode_t>(NumberFrom(json.at("mode"), kMax));
  root.uid = static_cast<uid_t>(NumberFrom(json.at("uid"), kMax));
  root.gid = static_cast<gid_t>(NumberFrom(json.at("gid"), kMax));
  root.acl = FromHex(json.value("acl", std::string()));
  root.xattr_names = FromHex(json.value("xattr_names", std::string()));
  RequireSound(root);
  return root;
}

Uuid IdFrom(const ReadJson& json) {
  std::optional<Uuid> id = Uuid::Parse(json.get<std::string>());
  if (!id) Damaged("it holds something else in the place of a UUID");
  return *std::move(id);
}

Uuid OptionalIdFrom(const ReadJson& json, const char* key) {
  return json.contains(key) && !json.at(key).is_null() ? IdFrom(json.at(key)) : Uuid();
}

Json OptionalId(const Uuid& id) { return id.empty() ? Json(nullptr) : Json(id.str()); }

int64_t TimeFrom(const ReadJson& json) {
  const std::optional<int64_t> time_ns = ParseRfc3339(json.get<std::string>());
  if (!time_ns || *time_ns < 0 || *time_ns > kNotedTimeNsMax) {
    Damaged("it holds something else in the place of a time");
  }
  return *time_ns;
}

uint64_t ViewFrom(const ReadJson& json) {
  const uint64_t view = NumberFrom(json, kMaxView);
  if (view == 0) Damaged("a view number is out of range");
  return view;
}

Json ToJson(const SnapshotRecord& snapshot, const Uuid& parent) {
  return {{"id", snapshot.uuid.str()},
          {"name", snapshot.name},
          {"created", FormatRfc3339(snapshot.created_ns)},
          {"message", snapshot.message},
          {"metadata", snapshot.metadata},
          {"pinned", snapshot.pinned},
          {"holds", snapshot.holds},
          {"kind", ToString(snapshot.kind)},
          {"parent", OptionalId(parent)},
          {"view", snapshot.view},
          {"root", ToJson(snapshot.root)},
          {"unlinked_open", snapshot.unlinked_open},
          {"moment", ToString(snapshot.moment)},
          {"moment_reason", snapshot.moment_reason}};
}

void ReadSnapshot(const ReadJson& json, Sidecar& sidecar) {
  SnapshotRecord& snapshot = sidecar.snapshot;
  snapshot.uuid = IdFrom(json.at("id"));
  snapshot.name = json.at("name").get<std::string>();
  snapshot.volume = sidecar.volume;
  snapshot.created_ns = TimeFrom(json.at("created"));
  snapshot.message = json.at("message").get<std::string>();
  snapshot.metadata = json.at("metadata").get<std::string>();
  snapshot.pinned = json.at("pinned").get<bool>();
  // An older ckptfs writes none.
  snapshot.holds = json.value("holds", std::vector<std::string>());
  // An older ckptfs takes "scheduled" for "manual".
  snapshot.kind = KindFrom(json.at("kind").get<std::string>());
  snapshot.view = ViewFrom(json.at("view"));
  snapshot.root = RootFrom(json.at("root"));
  snapshot.unlinked_open = static_cast<int64_t>(NumberFrom(json.at("unlinked_open"), kMaxRowId));
  // An older ckptfs writes neither, and ignores both.
  snapshot.moment = MomentFrom(json.value("moment", std::string()));
  snapshot.moment_reason = json.value("moment_reason", std::string());
  sidecar.parent = OptionalIdFrom(json, "parent");
  RequireSound(snapshot);
}

Json ToJson(const SettingMap& settings) {
  Json json = Json::object();
  for (const auto& [key, value] : settings) json[key] = value;
  return json;
}

// Files written by an older ckptfs have none. Invalid settings are left out.
SettingMap SettingsFrom(const ReadJson& json) {
  const auto found = json.find("settings");
  if (found == json.end()) return {};
  if (!found->is_object()) Damaged("its settings are not a JSON object");
  SettingMap settings;
  for (const auto& [key, value] : found->items()) {
    if (value.is_string()) settings.merge(SoundSettings({{key, value.get<std::string>()}}));
  }
  return settings;
}

Json ToJson(const Sidecar& sidecar) {
  const WorkspaceRecord& workspace = sidecar.workspace;
  Json json = {{"name", workspace.name},
               {"view", workspace.view},
               {"created", FormatRfc3339(workspace.created_ns)},
               {"volume", OptionalId(workspace.volume)}};
  if (sidecar.role == SidecarRole::kWorkspace) {
    json["parent"] = OptionalId(sidecar.parent);
    json["parent_marker"] = workspace.parent_marker;
    if (!sidecar.settings.empty()) json["settings"] = ToJson(sidecar.settings);
  }
  return json;
}

void ReadWorkspace(const ReadJson& json, Sidecar& sidecar) {
  WorkspaceRecord& workspace = sidecar.workspace;
  workspace.name = json.at("name").get<std::string>();
  RequireSoundName("workspace", workspace.name);
  workspace.view = ViewFrom(json.at("view"));
  workspace.created_ns = TimeFrom(json.at("created"));
  workspace.volume = OptionalIdFrom(json, "volume");
  if (sidecar.role == SidecarRole::kWorkspace) {
    sidecar.parent = OptionalIdFrom(json, "parent");
    workspace.parent_marker = NumberFrom(json.at("parent_marker"), UINT64_MAX);
    sidecar.settings = SettingsFrom(json);
  }
}

Sidecar FromJson(const ReadJson& json) {
  if (json.at("format") != kFormat) Damaged("its format is not known");
  Sidecar sidecar;
  sidecar.volume = IdFrom(json.at("volume"));
  bool known_role = false;
  for (const RoleName& entry : kRoles) {
    if (json.at("role") != entry.name) continue;
    sidecar.role = entry.role;
    known_role = true;
  }
  bool known_state = false;
  for (const StateName& entry : kStates) {
    if (json.at("state") != entry.name) continue;
    sidecar.state = entry.state;
    known_state = true;
  }
  if (!known_role || !known_state) Damaged("its role or state is not known");
  sidecar.generation = NumberFrom(json.at("generation"), kMaxGeneration);
  if (sidecar.role == SidecarRole::kScratch) return sidecar;
  if (sidecar.state != SidecarState::kFilling) ReadWorkspace(json.at("workspace"), sidecar);
  if (sidecar.role == SidecarRole::kSnapshot) ReadSnapshot(json.at("snapshot"), sidecar);
  return sidecar;
}

}  // namespace

bool Sidecar::SameRow(const Sidecar& other) const {
  Sidecar mine = *this;
  Sidecar theirs = other;
  mine.generation = theirs.generation = 0;
  // A snapshot's sidecar names its workspace only for people; the view number is binding. The name is not
  // updated when the workspace is renamed or rolled back, as that would cost a file per snapshot.
  if (role == SidecarRole::kSnapshot) {
    mine.workspace.name = theirs.workspace.name;
    mine.workspace.volume = theirs.workspace.volume;
  }
  return SerializeSidecar(mine) == SerializeSidecar(theirs);
}

std::string SerializeSidecar(const Sidecar& sidecar) {
  Json json = {{"format", kFormat}, {"volume", sidecar.volume.str()}};
  for (const RoleName& entry : kRoles) {
    if (entry.role == sidecar.role) json["role"] = entry.name;
  }
  for (const StateName& entry : kStates) {
    if (entry.state == sidecar.state) json["state"] = entry.name;
  }
  json["generation"] = sidecar.generation;
  const bool scratch = sidecar.role == SidecarRole::kScratch;
  if (!scratch && sidecar.state != SidecarState::kFilling) json["workspace"] = ToJson(sidecar);
  if (sidecar.role == SidecarRole::kSnapshot) {
    json["snapshot"] = ToJson(sidecar.snapshot, sidecar.parent);
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Sidecar ParseSidecar(std::string_view text) {
  try {
    return FromJson(ReadJson::parse(text));
  } catch (const Json::exception& error) {
    Damaged(error.what());
  } catch (const Error& error) {
    Damaged(error.why());
  }
}

namespace {

std::string SerializeStore(const MetaDirectory::StoreFile& file) {
  const StoreFacts& facts = file.facts;
  Json json = {{"format", kFormat},
               {"id", facts.uuid.str()},
               {"created", FormatRfc3339(facts.created_ns)},
               {"backend",
                {{"type", facts.backend_type},
                 {"selection", facts.backend_selection},
                 {"selected_at", FormatRfc3339(facts.backend_selected_ns)}}},
               {"mount_root", ToJson(file.mount_root)}};
  if (!file.settings.empty()) json["settings"] = ToJson(file.settings);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

bool MetaDirectory::StoreFile::operator==(const StoreFile& other) const {
  return SerializeStore(*this) == SerializeStore(other);
}

void MetaDirectory::WriteStore(const StoreFile& file) const {
  Replace(kStoreFileName, SerializeStore(file));
}

std::optional<MetaDirectory::StoreFile> MetaDirectory::ReadStore() const {
  try {
    const std::optional<std::string> text = Slurp(kStoreFileName);
    if (!text) return std::nullopt;
    const ReadJson json = ReadJson::parse(*text);
    const ReadJson& backend = json.at("backend");
    StoreFile file;
    file.facts.uuid = IdFrom(json.at("id"));
    file.facts.created_ns = TimeFrom(json.at("created"));
    file.facts.backend_type = backend.at("type").get<std::string>();
    file.facts.backend_selection = backend.at("selection").get<std::string>();
    file.facts.backend_selected_ns = TimeFrom(backend.at("selected_at"));
    file.mount_root = RootFrom(json.at("mount_root"));
    file.settings = SettingsFrom(json);
    return file;
  } catch (const Json::exception& error) {
    spdlog::warn("store.json is damaged: {}", PlainText(error.what()));
  } catch (const Error& error) {
    if (error.errno_value() != EUCLEAN) throw;
    spdlog::warn("store.json is damaged: {}", error.why());
  }
  return std::nullopt;
}

}  // namespace ckptfs
