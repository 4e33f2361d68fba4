#include "fs/operations/busy_files.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <functional>
#include <set>
#include <string_view>
#include <thread>

#include "backend/base/error.h"
#include "fs/processes/process_search.h"

namespace ckptfs {
namespace {

// A file that was just closed counts as open until the kernel's RELEASE, which is asynchronous, has been
// handled.
constexpr std::chrono::milliseconds kReleaseWait{500};
constexpr std::chrono::milliseconds kReleasePoll{2};

// For finding the processes to name.
constexpr std::chrono::milliseconds kHoldersMax{300};
constexpr std::chrono::milliseconds kLoopDevicesMax{200};  // in each of two steps
constexpr size_t kNamedHoldersMax = 10;
constexpr std::string_view kDeleted = " (deleted)";

// Waits for RELEASE requests that are under way.
void AwaitReleasesOf(dev_t device, const std::function<std::vector<HeldFile>()>& held) {
  const auto deadline = std::chrono::steady_clock::now() + kReleaseWait;
  std::vector<HeldFile> files = held();
  while (!files.empty() && std::chrono::steady_clock::now() < deadline) {
    // A process that really holds a file does not close it because we wait.
    if (!FindHolders(device, files, deadline).holders.empty()) return;
    std::this_thread::sleep_for(kReleasePoll);
    files = held();
  }
}

// " a, b and 7 more", for the end of a sentence.
std::string Join(const std::vector<std::string>& holders) {
  std::string text;
  for (size_t i = 0; i < holders.size() && i < kNamedHoldersMax; ++i) {
    text += (i == 0 ? " " : ", ") + holders[i];
  }
  if (holders.size() > kNamedHoldersMax) {
    text += " and " + std::to_string(holders.size() - kNamedHoldersMax) + " more";
  }
  return text;
}

std::string LastComponent(std::string path) {
  // The kernel appends this when the name by which the file was opened is gone.
  if (path.ends_with(kDeleted)) path.erase(path.size() - kDeleted.size());
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

void BusyFiles::AwaitReleases(const LiveWorkspace& workspace) const {
  AwaitReleasesOf(mount_.device, [&] { return InLive(workspace); });
}

std::vector<HeldFile> BusyFiles::InLive(const LiveWorkspace& workspace) const {
  const auto live = workspace.live();
  std::vector<HeldFile> files;
  if (!live->files) return files;
  for (const WriterHandle& writer : open_.mapped.Writers(live->files->slot)) {
    files.push_back(
        {.number = MakeNumber(workspace.number(), InodeOf(writer.node)), .pid = writer.pid});
  }
  return files;
}

std::vector<std::string> BusyFiles::HoldersOf(const std::vector<HeldFile>& files,
                                              const Volume& volume, int64_t workspace_id) const {
  const std::string root = mount_.options.mountpoint + "/" + nodes_.NameOf(workspace_id);
  std::set<uint64_t> left;  // inode numbers
  for (const HeldFile& file : files) left.insert(InodeOf(file.number));
  std::vector<std::string> holders;
  FoundHolders found =
      FindHolders(mount_.device, files, std::chrono::steady_clock::now() + kHoldersMax);
  for (Holder& holder : found.holders) {
    left.erase(InodeOf(holder.number));
    std::string name = WithoutPrefix(std::move(holder.path), root);
    if (name.ends_with(kDeleted)) {
      // The file may have another name, or may have lost this one in another state.
      const std::string other = volume.PathOf(InodeOf(holder.number));
      if (!other.empty()) name = other;
    }
    holders.push_back("pid " + std::to_string(holder.pid) + " (" + holder.command + ") " + name);
  }
  for (const Holder& holder : found.unseen) {
    const uint64_t inode = InodeOf(holder.number);
    if (left.erase(inode) == 0) continue;
    holders.push_back("pid " + std::to_string(holder.pid) + " (" + holder.command +
                      "), a process that cannot be looked at, " + volume.PathOf(inode));
  }
  std::map<uint64_t, std::string> names;
  for (const uint64_t inode : left) names[inode] = volume.PathOf(inode);
  for (const AttachedFile& attached : LoopDevicesOn(files, names)) {
    std::string& name = names[InodeOf(attached.inode)];
    if (name.empty()) name = WithoutPrefix(attached.path, root);  // its last name is gone
    holders.push_back(attached.device + " (a loop device: losetup -d detaches it) " + name);
    left.erase(InodeOf(attached.inode));
  }
  // The remaining files may just have been closed.
  if (!holders.empty() && found.is_complete) return holders;
  for (const uint64_t inode : left) {
    const std::string& name = names[inode];
    holders.push_back((name.empty() ? "a file without a name" : name) +
                      (found.is_complete
                           ? " (by a process that cannot be seen from here, or by the kernel)"
                           : " (by a process that cannot be looked at)"));
  }
  return holders;
}

// With a loop device the kernel itself holds the file, and the process that attached it has usually exited.
// Querying the device makes the kernel request the file's attributes from us. So never call this with a
// freeze lock closed. (A scout process does the query.)
std::vector<AttachedFile> BusyFiles::LoopDevicesOn(
    const std::vector<HeldFile>& files, const std::map<uint64_t, std::string>& names) const {
  if (names.empty() || mount_.device == 0) return {};
  const auto is_here = [&](const std::string& path) {
    return path.starts_with(mount_.options.mountpoint + "/");
  };
  const auto may_be_here = [&](const std::string& path) {
    // "/": attached through a bind mount, then moved out of the subtree that the mount shows.
    return path == "/" || std::any_of(names.begin(), names.end(), [&](const auto& name) {
             return LastComponent(name.second) == LastComponent(path);
           });
  };
  std::vector<AttachedFile> found = ListAttachedFiles(is_here, kLoopDevicesMax);
  // Loop devices on other filesystems may use up all the time.
  for (AttachedFile& file : ListAttachedFiles(
           [&](const std::string& path) { return !is_here(path) && may_be_here(path); },
           kLoopDevicesMax)) {
    found.push_back(std::move(file));
  }
  std::erase_if(found, [&](const AttachedFile& attached) {
    return attached.filesystem != mount_.device || !names.contains(InodeOf(attached.inode)) ||
           std::none_of(files.begin(), files.end(),
                        [&](const HeldFile& file) { return file.number == attached.inode; });
  });
  return found;
}

void BusyFiles::RefuseOpenWriters(const LiveWorkspace& workspace, const std::string& attempted,
                                  const std::string& hint) const {
  const auto live = workspace.live();
  const std::vector<HeldFile> files = InLive(workspace);
  if (files.empty() || !live->volume) return;
  throw Error(EBUSY, attempted,
              "files are open for writing:" + Join(HoldersOf(files, *live->volume, workspace.id())),
              hint);
}

void BusyFiles::RefuseOpenWriters(const LiveWorkspace& workspace) const {
  RefuseOpenWriters(workspace, "roll back " + nodes_.NameOf(workspace.id()),
                    "Close them, or use 'ckpt rollback --force' to let them go on writing to the "
                    "state that is kept");
}

void BusyFiles::RefuseDetachedWriters(const SnapshotRecord& snapshot, const std::string& attempted,
                                      const std::string& hint) const {
  const std::optional<DetachedState> state = open_.writer_watch.Find(snapshot.volume);
  if (!state) return;
  const auto held = [&] {
    std::vector<HeldFile> files;
    for (const WriterHandle& writer : open_.mapped.Writers(state->slot)) {
      // The kernel shows the number that it got last.
      for (const uint64_t view : {state->view, state->former_view}) {
        files.push_back({.number = MakeNumber(view, InodeOf(writer.node)), .pid = writer.pid});
      }
    }
    return files;
  };
  AwaitReleasesOf(mount_.device, held);
  const std::vector<HeldFile> files = held();
  if (files.empty()) {
    open_.writer_watch.EndQuietOnes();
    return;
  }
  const std::shared_ptr<Volume> volume = nodes_.volumes.Open(snapshot.volume);
  const std::vector<std::string> holders = HoldersOf(files, *volume, state->workspace_id);
  throw Error(EBUSY, attempted, "programs go on writing to it since a rollback:" + Join(holders),
              hint);
}

}  // namespace ckptfs
