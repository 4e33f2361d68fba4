#include "fs/busy_files.h"

#include <cerrno>
#include <chrono>
#include <functional>
#include <thread>

#include "backend/base/error.h"
#include "fs/file_tree.h"

namespace ckptfs {
namespace {

// A file that was closed a moment ago still counts as open until the kernel's RELEASE, which it
// sends on its own time, has been handled.
constexpr std::chrono::milliseconds kReleaseWait{500};
constexpr std::chrono::milliseconds kReleasePoll{2};

constexpr size_t kNamedHoldersMax = 10;

// Waits for releases that are on their way.
void AwaitReleasesOf(const std::function<std::vector<HeldFile>()>& held) {
  const auto deadline = std::chrono::steady_clock::now() + kReleaseWait;
  std::vector<HeldFile> files = held();
  while (!files.empty() && std::chrono::steady_clock::now() < deadline) {
    // Somebody who really holds a file will not let go by being waited for.
    if (!FindHolders(files).empty()) return;
    std::this_thread::sleep_for(kReleasePoll);
    files = held();
  }
}

// " pid N (command) path, ...", for the end of a sentence.
std::string TellHolders(const std::vector<OpenWriter>& holders) {
  std::string why;
  for (size_t i = 0; i < holders.size() && i < kNamedHoldersMax; ++i) {
    why += (i == 0 ? " " : ", ") + std::string("pid ") + std::to_string(holders[i].pid) + " (" +
           holders[i].command + ") " + holders[i].path;
  }
  if (holders.empty()) why += " by a process that cannot be seen from here";
  if (holders.size() > kNamedHoldersMax) {
    why += " and " + std::to_string(holders.size() - kNamedHoldersMax) + " more";
  }
  return why;
}

}  // namespace

void BusyFiles::AwaitReleases(const LiveWorkspace& workspace) const {
  AwaitReleasesOf([&] { return InLive(workspace); });
}

std::vector<HeldFile> BusyFiles::InLive(const LiveWorkspace& workspace) const {
  const auto live = workspace.live();
  std::vector<HeldFile> files;
  if (!live->files) return files;
  for (const WriterHandle& writer : FileTree(mount_).Writers(live->files->slot)) {
    files.push_back(
        {.number = MakeNumber(workspace.number(), InodeOf(writer.node)), .pid = writer.pid});
  }
  return files;
}

std::vector<OpenWriter> BusyFiles::HoldersOf(const std::vector<HeldFile>& files,
                                             const Volume& volume, int64_t workspace_id) const {
  // What the kernel calls so has lost the name by which it was opened: it may have another, or have lost
  // that name in another state than this one.
  constexpr std::string_view kGone = " (deleted)";
  const std::string root = mount_.options.mountpoint + "/" + mount_.NameOf(workspace_id);
  std::vector<OpenWriter> writers;
  for (Holder& holder : FindHolders(files)) {
    std::string name = WithoutPrefix(std::move(holder.path), root);
    if (name.ends_with(kGone)) {
      const std::string other = volume.PathOf(InodeOf(holder.number));
      if (!other.empty()) name = other;
    }
    writers.push_back(
        {.pid = holder.pid, .command = CommandOf(holder.pid), .path = std::move(name)});
  }
  return writers;
}

void BusyFiles::RefuseOpenWriters(const LiveWorkspace& workspace) const {
  const auto live = workspace.live();
  const std::vector<HeldFile> files = InLive(workspace);
  if (files.empty() || !live->volume) return;
  throw Error(
      EBUSY, "roll back " + mount_.NameOf(workspace.id()),
      "files are open for writing:" + TellHolders(HoldersOf(files, *live->volume, workspace.id())),
      "Close them, or use 'ckpt rollback --force' to let them go on writing to the state "
      "that is kept");
}

void BusyFiles::RefuseDetachedWriters(const SnapshotRecord& snapshot, const std::string& attempted,
                                      const std::string& hint) const {
  const std::optional<DetachedState> state = mount_.detached.Find(snapshot.volume);
  if (!state) return;
  const auto held = [&] {
    std::vector<HeldFile> files;
    for (const WriterHandle& writer : FileTree(mount_).Writers(state->slot)) {
      // The kernel shows the number that it was told last.
      for (const uint64_t view : {state->view, state->former_view}) {
        files.push_back({.number = MakeNumber(view, InodeOf(writer.node)), .pid = writer.pid});
      }
    }
    return files;
  };
  AwaitReleasesOf(held);
  const std::vector<HeldFile> files = held();
  if (files.empty()) {
    mount_.detached.EndQuietOnes();
    return;
  }
  const std::shared_ptr<Volume> volume = mount_.volumes.Open(snapshot.volume);
  const std::vector<OpenWriter> holders = HoldersOf(files, *volume, state->workspace_id);
  throw Error(EBUSY, attempted,
              "programs go on writing to it since a rollback:" + TellHolders(holders), hint);
}

}  // namespace ckptfs
