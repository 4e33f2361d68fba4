#include "fs/writer_notes.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include "fs/file_tree.h"
#include "fs/holders.h"

namespace ckptfs {
namespace {

// For all looks at /proc together. The store's lock is held meanwhile.
constexpr std::chrono::milliseconds kSearchMax{100};
// A RELEASE that is on its way arrives sooner than all processes are looked through.
constexpr std::chrono::milliseconds kReleaseWait{5};
constexpr std::chrono::milliseconds kReleasePoll{1};
constexpr size_t kHeirsMax = 64;

}  // namespace

struct WriterNotes::Noted {
  std::shared_ptr<LiveWorkspace> workspace;
  std::shared_ptr<const Live> live;
  std::vector<WriterHandle> handles;

  uint64_t NumberOf(NodeId node) const { return MakeNumber(workspace->number(), InodeOf(node)); }
};

// One search for the processes behind a list of handles.
class WriterNotes::Search {
 public:
  Search(MountContext& mount, const Noted& noted);

  void AskOpeners();
  // Asks processes for what no opener has; returns those that have some of it.
  std::set<pid_t> Ask(const std::vector<pid_t>& processes);
  // Forgets files that nobody has open any longer; or will not have in a moment.
  void DropReleased();
  void AwaitReleases();
  bool done() const { return left_.empty(); }

  // With the names that the files have in `volume`.
  OpenWriterList List(const Volume& volume, const std::string& root) const;

 private:
  // A file and a process that has it: 0 if none was found. The value is the path in its eyes.
  using Key = std::pair<uint64_t, pid_t>;

  bool late() const { return std::chrono::steady_clock::now() > deadline_; }

  MountContext& mount_;
  const Noted& noted_;
  const SearchDeadline deadline_ = std::chrono::steady_clock::now() + kSearchMax;
  std::map<Key, std::string> found_;
  std::map<uint64_t, pid_t> left_;  // files whose holder is not found yet, and who opened them
};

WriterNotes::Search::Search(MountContext& mount, const Noted& noted)
    : mount_(mount), noted_(noted) {}

void WriterNotes::Search::AskOpeners() {
  std::map<pid_t, pid_t> processes;  // by thread
  std::map<pid_t, std::set<uint64_t>> by_process;
  for (const WriterHandle& handle : noted_.handles) {
    const auto [known, is_new] = processes.try_emplace(handle.pid);
    if (is_new) known->second = ProcessOf(handle.pid);
    by_process[known->second].insert(noted_.NumberOf(handle.node));
  }
  for (const auto& [process, numbers] : by_process) {
    std::set<uint64_t> missed = numbers;
    if (process != 0) {
      for (Holder& holder : FilesHeldBy(process, mount_.device, numbers, deadline_)) {
        missed.erase(holder.number);
        found_[{holder.number, process}] = std::move(holder.path);
      }
    }
    for (const uint64_t number : missed) left_[number] = process;
  }
}

std::set<pid_t> WriterNotes::Search::Ask(const std::vector<pid_t>& processes) {
  std::set<pid_t> holders;
  for (const pid_t process : processes) {
    if (left_.empty() || late()) break;
    std::set<uint64_t> numbers;
    for (const auto& [number, opener] : left_) numbers.insert(number);
    for (Holder& holder : FilesHeldBy(process, mount_.device, numbers, deadline_)) {
      left_.erase(holder.number);
      holders.insert(process);
      found_[{holder.number, process}] = std::move(holder.path);
    }
  }
  return holders;
}

void WriterNotes::Search::DropReleased() {
  std::set<uint64_t> open;
  for (const WriterHandle& handle : FileTree(mount_).Writers(noted_.live->files->slot)) {
    open.insert(noted_.NumberOf(handle.node));
  }
  std::erase_if(left_, [&](const auto& file) { return !open.contains(file.first); });
}

void WriterNotes::Search::AwaitReleases() {
  const auto deadline = std::chrono::steady_clock::now() + kReleaseWait;
  DropReleased();
  while (!left_.empty() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kReleasePoll);
    DropReleased();
  }
}

OpenWriterList WriterNotes::Search::List(const Volume& volume, const std::string& root) const {
  std::map<Key, std::string> all = found_;
  // Out of sight, as is a process in another PID namespace. If time was up, the opener is as good a
  // guess as any.
  for (const auto& [number, opener] : left_) all[{number, late() ? opener : 0}] = {};
  OpenWriterList list{.named = {}, .total = all.size()};
  std::map<pid_t, std::string> commands = {{0, {}}};
  for (const auto& [key, path] : all) {
    if (list.named.size() == kRecordedWritersMax) break;
    const auto& [number, process] = key;
    const auto [command, is_new] = commands.try_emplace(process);
    if (is_new) command->second = CommandOf(process);
    std::string name = volume.PathOf(InodeOf(number));
    if (name.empty()) name = WithoutPrefix(path, root);
    list.named.push_back({.pid = process, .command = command->second, .path = std::move(name)});
  }
  std::sort(list.named.begin(), list.named.end(), [](const OpenWriter& a, const OpenWriter& b) {
    return std::tie(a.path, a.pid) < std::tie(b.path, b.pid);
  });
  return list;
}

WriterFinder WriterNotes::Take(int64_t workspace_id, std::vector<WriterHandle> handles) {
  const auto workspace = mount_.workspaces.Get(workspace_id);
  auto live = workspace->live();
  if (!live->files) return nullptr;
  const auto noted = std::make_shared<const Noted>(
      Noted{.workspace = workspace, .live = std::move(live), .handles = std::move(handles)});
  return [this, noted](const VolumeId& snapshot) -> std::optional<OpenWriterList> {
    try {
      return Find(*noted, snapshot);
    } catch (const std::exception& error) {
      spdlog::warn("look who has files open for writing: {}; the checkpoint does not tell",
                   error.what());
      return std::nullopt;
    }
  };
}

OpenWriterList WriterNotes::Find(const Noted& noted, const VolumeId& snapshot) {
  if (noted.handles.empty()) return {};
  Search search(mount_, noted);
  search.AskOpeners();
  std::set<pid_t> heirs;
  if (!search.done()) {
    {
      const std::lock_guard lock(mutex_);
      heirs = heirs_;
    }
    heirs = search.Ask({heirs.begin(), heirs.end()});
    search.AwaitReleases();
  }
  if (!search.done()) {
    heirs.merge(search.Ask(AllProcesses()));
    search.DropReleased();
  }
  if (!heirs.empty() && heirs.size() <= kHeirsMax) {
    const std::lock_guard lock(mutex_);
    heirs_ = std::move(heirs);
  }
  const auto record = mount_.store.FindWorkspace(noted.workspace->id());
  const std::string name = record ? record->name : std::string();
  const Backend& backend = mount_.store.backend();
  const std::shared_ptr<Volume> volume =
      backend.capabilities().snapshots_tell_paths ? backend.Open(snapshot) : noted.live->volume;
  return search.List(*volume, mount_.options.mountpoint + "/" + name);
}

}  // namespace ckptfs
