// ckptfs: mounts a store and serves it until it is unmounted.
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/scouts.h"
#include "backend/base/text.h"
#include "fs/fuse/fuse_mount.h"
#include "tools/ckptfs/daemonise.h"
#include "tools/ckptfs/log.h"
#include "tools/ckptfs/mountpoint.h"
#include "tools/ckptfs/options.h"
#include "tools/ckptfs/process_setup.h"
#include "tools/ckptfs/stale_daemon.h"

namespace ckptfs {
namespace {

// As mount(8) has them.
constexpr int kUsage = 1;
constexpr int kSystemError = 2;
constexpr int kMountFailed = 32;

void RequireRoot() {
  if (geteuid() == 0) return;
  throw Error(EPERM, "mount", "only root can", "Run it as root");
}

// Where the caller has closed one, what is opened first would take its number, and be lost when the
// daemon gives its standard descriptors to /dev/null.
void OpenStandardDescriptors() {
  int fd = 0;
  do {
    fd = CheckSyscall(open("/dev/null", O_RDWR), "open /dev/null");
  } while (fd <= STDERR_FILENO);
  close(fd);
}

void Serve(CommandLine line, const std::function<void(const std::string& mountpoint)>& ready) {
  RequireRoot();
  const Scouts scouts;  // before there is any thread, lock or device
  AbortMountsOfKilled(line.store.path);
  line.mount.mountpoint = PrepareMountpoint(line.mount.mountpoint, line.store.path);
  MountHelper mount_helper;  // before there is any of that, too
  const std::unique_ptr<Store> store = OpenAfterStaleDaemon(line.store);
  const StoreStatus status = store->Status();
  if (line.store.read_only) line.fuse.kernel_options.emplace_back("ro");
  line.mount.refuse_changes = status.read_only;
  line.fuse.source = line.store.path;
  line.fuse.access_times = line.store.backend_options.access_times;
  line.mount.strict_access_times = line.fuse.access_times.rule == AccessTimeRule::kStrict;
  FuseMount mount(*store, line.mount, line.fuse, mount_helper);
  store->Keep();
  spdlog::info("{} is mounted on {} (backend {})", line.store.path, line.mount.mountpoint,
               status.backend_type);
  ready(line.mount.mountpoint);
  mount.Run();
  spdlog::info("{} is unmounted", line.mount.mountpoint);
}

std::string ErrorLine(const std::exception& error) { return "ckptfs: " + PlainText(error.what()); }

int RunInForeground(const CommandLine& line) {
  StartLog(LogTarget::kStderr, line.debug);
  try {
    Serve(line, [](const std::string&) {});
    return 0;
  } catch (const std::exception& error) {
    std::cerr << ErrorLine(error) << "\n";
    return kMountFailed;
  }
}

int RunInBackground(const CommandLine& line) {
  Background background;
  StartLog(LogTarget::kSystem, line.debug);
  bool is_ready = false;
  try {
    Serve(line, [&](const std::string& mountpoint) {
      background.ReportReady(mountpoint);
      is_ready = true;
    });
    return 0;
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
    if (!is_ready) background.ReportFailure(ErrorLine(error), kMountFailed);
    return kMountFailed;
  }
}

int Main(char* const* words) {
  std::vector<std::string> arguments;
  for (char* const* word = words; *word != nullptr; ++word) arguments.emplace_back(*word);
  CommandLine line;
  try {
    line = ParseCommandLine(arguments);
  } catch (const std::exception& error) {
    std::cerr << ErrorLine(error) << "\n";
    return kUsage;
  }
  switch (line.action) {
    case Action::kShowHelp:
      std::cout << HelpText();
      return 0;
    case Action::kShowVersion:
      std::cout << "ckptfs " << CKPTFS_VERSION << "\n";
      return 0;
    case Action::kFake:
      return 0;
    case Action::kMount:
      break;
  }
  RestartWithOwnEnvironment(words);
  // Relative paths would mean something else in the daemon, whose directory is /, and in the table
  // of mounts.
  line.store.path = std::filesystem::absolute(line.store.path).string();
  line.mount.mountpoint = std::filesystem::absolute(line.mount.mountpoint).string();
  SetUpProcess(line.foreground);
  return line.foreground ? RunInForeground(line) : RunInBackground(line);
}

}  // namespace
}  // namespace ckptfs

int main(int /*argc*/, char** argv) {
  try {
    ckptfs::OpenStandardDescriptors();
    return ckptfs::Main(argv);
  } catch (const std::exception& error) {
    std::cerr << ckptfs::ErrorLine(error) << "\n";
    return ckptfs::kSystemError;
  }
}
