// The vocabulary of the control protocol (fs/control/control_protocol.h): commands, fields, and the encoding
// of strings and errors. Shared by both sides, so that they cannot drift apart.
//
// A request is {"command": "...", "workspace": "name", "args": {...}}. "workspace" is omitted if the control
// file's own scope implies it; through the mount root's control file, root may name any. The arguments and
// the result of each command are documented next to its name.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "backend/base/error.h"
#include "backend/base/json_bounds.h"
#include "catalog/trees/names.h"

namespace ckptfs::wire {

using Json = nlohmann::json;

// --- The frame -----------------------------------------------------------------------------------
inline constexpr const char* kCommand = "command";
inline constexpr const char* kWorkspace = "workspace";
inline constexpr const char* kArgs = "args";
inline constexpr const char* kProgress = "progress";
inline constexpr const char* kItems = "items";
inline constexpr const char* kResult = "result";
inline constexpr const char* kError = "error";
// Beside the result: a sentence about the store's health; absent if there is nothing to say.
inline constexpr const char* kHealth = "health";
// How many lines of a comparison are omitted because the caller may not see them.
inline constexpr const char* kHidden = "hidden";
inline constexpr const char* kWorkspacesHidden =
    "workspaces_hidden";  // because the caller may not list them
// How many are omitted because their paths are longer than any program can use.
inline constexpr const char* kTooLong = "too_long";
// In the result of what was done all the same: [text]. Of `status`, always.
inline constexpr const char* kWarnings = "warnings";

// --- Queries -------------------------------------------------------------------------------------
// {} -> {scope: "mount" | "workspace", workspace: name or null, mountpoint, version}
inline constexpr const char* kHello = "hello";
// {} -> array of snapshots, oldest first; preceded by items if there are many. Each has moment ("one",
// "crash-consistent" or "unknown") and moment_reason (text or null)
inline constexpr const char* kList = "list";
// {snapshot} -> a snapshot with state, referenced_bytes and exclusive_bytes (null if missing), and
// open_for_writing: [{path, pid, command}] of open_for_writing_total (null: not known), and
// unlinked_files: [{name, path, size_bytes, allocated_bytes}]
inline constexpr const char* kShow = "show";
// {} -> the object of `ckpt status --format json`, with state (kStateOk or another); in a workspace's scope: with that workspace only
inline constexpr const char* kStatus = "status";
// {usage: bool} -> {fs_total_bytes, fs_used_bytes, fs_free_bytes, templates: [{name, size_bytes,
// disk_bytes}], workspaces: [{name, snapshots, live: {referenced_bytes, exclusive_bytes}, usage: [{name,
// referenced_bytes, exclusive_bytes}]}]}; live and usage only in a workspace's scope
inline constexpr const char* kDf = "df";
// {from, to: name or null for the live tree} -> items {kind, path, old_path?}, then null
inline constexpr const char* kDiff = "diff";
// {snapshot or newest: N} -> items: what a rollback would change; then {snapshot: name}
inline constexpr const char* kPreview = "preview";
// {} -> array of {name, id, created, filesystem, size_bytes, disk_bytes, sha256, users: [name]}
inline constexpr const char* kTemplates = "templates";

// {key?} -> array of {key, value: text or null, origin}; of the workspace or, without one, of the store
inline constexpr const char* kSettings = "settings";

// --- Commands that change ------------------------------------------------------------------------
// {name?, message, metadata: text, pinned, if_changed} -> a snapshot, or {unchanged_since: name}
inline constexpr const char* kCheckpoint = "checkpoint";
// {snapshot or newest: N, force} -> {workspace, snapshot, kept: name or null, equal_to: name or
// null, unmounted: [path]}
inline constexpr const char* kRollback = "rollback";
// {snapshot, name} -> {workspace}
inline constexpr const char* kFork = "fork";
// {snapshot, force} -> {}
inline constexpr const char* kDelete = "delete";
// {snapshot, pinned} -> {}
inline constexpr const char* kPin = "pin";
// {snapshot, tag, held} -> {}
inline constexpr const char* kHold = "hold";
// {snapshot?, dry_run} -> {workspace, snapshots: number removed with it}. With a snapshot: only if the live
// tree is still equal to it. A dry run only says whether it would be refused
inline constexpr const char* kForget = "forget";
// {rules?: {setting: text}, dry_run} -> items {workspace, name, action: "keep" or "remove", reasons: [text],
// error: text or null}, oldest first; then {workspace, removed, failed}. Without rules: by those in the
// settings
inline constexpr const char* kCleanup = "cleanup";
// {dry_run} -> items {name, kind: "volume", "sidecar", "file", "template" or "catalog", action: "keep" or
// "remove", bytes, changed, age_seconds, reasons: [text], error: text or null}; then {removed, failed,
// removed_bytes, returned_bytes: to the disk below}
inline constexpr const char* kGc = "gc";
// {key, value: text or null} -> {key, value, origin}: as for settings
inline constexpr const char* kSetSetting = "set-setting";
// {repair} -> {problems: [text], repaired: [text]}; the problems that remain
inline constexpr const char* kFsck = "fsck";
// {name, mode, template} -> {workspace}; made from that template, owned by the caller. The umask has already
// been applied to `mode`
inline constexpr const char* kCreate = "create";
// {name, filesystem?, size_bytes?, fd, device, inode} -> a template; `fd` as in import, of a directory or an
// image. {name, snapshot} with a workspace -> the same, from a snapshot. Both only for root
inline constexpr const char* kTemplateAdd = "template-add";
// {name} -> {}
inline constexpr const char* kTemplateRemove = "template-remove";
// {name, fd, device, inode, leave_out_nested} -> {workspace, directories, files, hard_links, others,
// copied_bytes, shared_bytes, links_outside, attributes_left_out, left_out: [path]}. `fd` is the caller's
// descriptor of an open directory. Only for root; EOPNOTSUPP if the daemon cannot reach the caller's
// descriptors. Cancelled if the caller closes the control file before the end.
inline constexpr const char* kImport = "import";
// {} -> {}; data written to the workspace is on disk
inline constexpr const char* kSync = "sync";

// --- Values --------------------------------------------------------------------------------------
inline constexpr const char* kStateOk = "ok";
inline constexpr const char* kStateReadOnly = "read-only";
inline constexpr const char* kStateLostWrites = "lost-writes";
inline constexpr const char* kScopeMount = "mount";
inline constexpr const char* kScopeWorkspace = "workspace";
inline constexpr const char* kKindAdded = "added";
inline constexpr const char* kKindRemoved = "removed";
inline constexpr const char* kKindModified = "modified";
inline constexpr const char* kKindRenamed = "renamed";

// Deeper JSON is refused or shown as text: printing it is recursive.
inline constexpr int kMaxJsonDepth = 64;

// Any bytes as JSON: {"bytes": [...]} if they are not valid UTF-8.
inline Json FromBytes(std::string_view bytes) {
  if (IsValidUtf8(bytes)) return std::string(bytes);
  Json values = Json::array();
  for (const char byte : bytes) values.push_back(static_cast<unsigned char>(byte));
  return Json{{"bytes", std::move(values)}};
}

// The inverse of FromBytes. Throws Error EINVAL, naming `what`, if `json` is not of that form.
inline std::string ToBytes(const Json& json, std::string_view what) {
  if (json.is_string()) return json.get<std::string>();
  const auto found = json.is_object() ? json.find("bytes") : json.end();
  if (!json.is_object() || found == json.end() || !found->is_array()) {
    throw Error(EINVAL, what, "no string");
  }
  std::string bytes;
  for (const Json& value : *found) {
    const int64_t byte = value.is_number_integer() ? value.get<int64_t>() : -1;
    if (byte < 0 || byte > 0xFF) throw Error(EINVAL, what, "no bytes");
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

inline Json FromError(const Error& error) {
  return Json{{"errno", error.errno_value()},
              {"message", error.attempted()},
              {"why", error.why()},
              {"hint", error.hint()}};
}

inline Error ToError(const Json& json) {
  return Error(json.value("errno", EIO), json.value("message", "ask the daemon"),
               json.value("why", ""), json.value("hint", ""));
}

// One line of the protocol. In messages, bytes that are not UTF-8 become U+FFFD.
inline std::string ToLine(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

// Parses JSON of at most kMaxJsonDepth levels and `values_max` values; returns a discarded value
// (is_discarded) if it is not that.
inline Json Parse(std::string_view text, size_t values_max = SIZE_MAX) {
  const JsonBounds bounds{.depth_max = kMaxJsonDepth, .values_max = values_max};
  if (CheckJson(text, bounds) != JsonVerdict::kGood) return Json(Json::value_t::discarded);
  return Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

}  // namespace ckptfs::wire
