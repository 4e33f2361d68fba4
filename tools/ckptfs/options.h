// The command lines of ckptfs and of its helpers for mount(8).
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "catalog/store/store.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/nodes/mount_context.h"

namespace ckptfs {

enum class Action { kMount, kShowHelp, kShowVersion, kFake };

struct CommandLine {
  Action action = Action::kMount;
  bool foreground = false;
  bool debug = false;
  StoreOptions store;
  MountOptions mount;
  FuseOptions fuse;
};

// Parses both
//   ckptfs [-f] [-d] [-o OPTIONS] SOURCE MOUNTPOINT
//   mount.ckptfs SOURCE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]
// The second form applies if the program's name begins with "mount.", as mount(8) calls helpers. Throws Error
// EINVAL, with the remedy, for anything that it does not understand.
CommandLine ParseCommandLine(const std::vector<std::string>& arguments);

// A count. Throws Error EINVAL.
size_t ParseCount(const std::string& text);

// A number of seconds, or with the suffix s, m, h or d ("90", "30m", "7d"); at most 100 years. Throws Error
// EINVAL.
std::chrono::seconds ParseDuration(const std::string& text);

// A number of bytes with an optional suffix K, M, G or T (powers of 1024; "KiB" and the like too). Throws
// Error EINVAL.
uint64_t ParseSize(const std::string& text);

std::string HelpText();

}  // namespace ckptfs
