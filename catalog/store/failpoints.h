// The names of all failpoints in catalog/, for the tests that kill a process at each.
#pragma once

#include <array>
#include <string_view>

namespace ckptfs {

// Per operation, in the order in which they are reached.
inline constexpr std::array<std::string_view, 9> kFirstMountFailpoints = {
    "first.before-lock",   "first.after-note",     "first.before-backend",
    "first.after-backend", "first.before-catalog", "first.after-create",
    "first.after-catalog", "first.before-finish",  "first.after-finish",
};

inline constexpr std::array<std::string_view, 6> kCreateWorkspaceFailpoints = {
    "workspace.before-sidecar", "workspace.after-sidecar",  "workspace.after-volume",
    "workspace.before-commit",  "commit.before-generation", "workspace.after-commit",
};

inline constexpr std::array<std::string_view, 3> kImportFailpoints = {
    "import.after-volume",
    "import.before-commit",
    "import.after-commit",
};

inline constexpr std::array<std::string_view, 4> kRemoveWorkspaceFailpoints = {
    "remove-workspace.before-commit",
    "remove-workspace.after-commit",
    "remove-workspace.after-destroy",
    "delete.after-durable",
};

inline constexpr std::array<std::string_view, 4> kForgetWorkspaceFailpoints = {
    "forget-workspace.before-commit",
    "forget-workspace.after-commit",
    "forget-workspace.after-destroy",
    "delete.after-durable",
};

inline constexpr std::array<std::string_view, 2> kRenameWorkspaceFailpoints = {
    "rename-workspace.before-commit",
    "rename-workspace.after-commit",
};

inline constexpr std::array<std::string_view, 8> kCheckpointFailpoints = {
    "checkpoint.before-sidecar", "checkpoint.after-sidecar", "checkpoint.after-snapshot",
    "checkpoint.before-commit",  "checkpoint.after-commit",  "flush.begin",
    "flush.before-generation",   "flush.after-sidecars",
};

inline constexpr std::array<std::string_view, 6> kDeleteFailpoints = {
    "delete.before-commit", "commit.before-generation", "delete.after-commit",
    "delete.after-destroy", "delete.after-durable",     "delete.before-tombstone-drop",
};

// Rename, message, pin: one row and its sidecar.
inline constexpr std::array<std::string_view, 3> kEditFailpoints = {
    "edit.before-commit",
    "edit.after-commit",
    "edit.after-sidecar",
};

inline constexpr std::array<std::string_view, 4> kSettingFailpoints = {
    "setting.before-commit",
    "commit.before-generation",
    "setting.after-commit",
    "setting.after-sidecar",
};

// For a rollback, a promotion and an exchange.
inline constexpr std::array<std::string_view, 9> kRollbackFailpoints = {
    "rollback.before-sidecar", "rollback.after-sidecar",   "rollback.after-clone",
    "rollback.before-commit",  "commit.before-generation", "rollback.after-commit",
    "rollback.after-switch",   "rollback.after-destroy",   "flush.after-sidecars",
};

inline constexpr std::array<std::string_view, 6> kForkFailpoints = {
    "fork.before-sidecar", "fork.after-sidecar",       "fork.after-clone",
    "fork.before-commit",  "commit.before-generation", "fork.after-commit",
};

inline constexpr std::array<std::string_view, 3> kDiffFailpoints = {
    "diff.after-sidecar",
    "diff.after-snapshot",
    "diff.after-destroy",
};

inline constexpr std::array<std::string_view, 5> kGcFailpoints = {
    "gc.before-remove",     "gc.after-tombstone",           "gc.after-remove",
    "delete.after-durable", "delete.before-tombstone-drop",
};

inline constexpr std::array<std::string_view, 8> kRecoveryFailpoints = {
    "recovery.begin",          "recovery.after-tombstones", "recovery.after-adoption",
    "recovery.after-debris",   "recovery.after-states",     "recovery.after-seal",
    "recovery.after-unlinked", "recovery.after-sidecars",
};

inline constexpr std::array<std::string_view, 5> kRebuildFailpoints = {
    "rebuild.before-build",    "rebuild.after-build",  "rebuild.after-set-aside-log",
    "rebuild.after-set-aside", "rebuild.after-rename",
};

}  // namespace ckptfs
