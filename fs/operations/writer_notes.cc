#include "fs/operations/writer_notes.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include "fs/processes/process_search.h"

namespace ckptfs {
namespace {

// For all scans of /proc together: the caller of the checkpoint waits for them.
constexpr std::chrono::milliseconds kSearchMax{100};
// For one process.
constexpr std::chrono::milliseconds kProcessPatience{20};
// A pending RELEASE arrives sooner than a scan of all processes ends.
constexpr std::chrono::milliseconds kNoteReleaseWait{5};
constexpr std::chrono::milliseconds kNoteReleasePoll{1};
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
  Search(MappedFiles& mapped, dev_t device, const Noted& noted);

  void AskOpeners();
  // Asks processes (empty: all) for files that their opener no longer has; returns those that have some.
  std::set<pid_t> AskHeirs(const std::set<pid_t>& processes);
  std::set<pid_t> AskAll();
  // Drops files that nobody has open any longer, or that are about to be released.
  void DropReleased();
  void AwaitReleases();
  bool done() const { return left_.empty(); }

  // With the names that the files have in `volume`.
  OpenWriterList List(const Volume& volume, const std::string& root) const;

 private:
  // A file and a process that has it (0: none found). The value is the path as the process sees it.
  using Key = std::pair<uint64_t, pid_t>;

  std::set<uint64_t> LeftNumbers() const;
  // Whether to assume the opener: not every process could be asked.
  bool GuessesOpener(pid_t opener) const {
    return processes_.is_late() || processes_.unseen().contains(opener);
  }
  std::set<pid_t> Take(std::vector<Holder> holders);

  MappedFiles& mapped_;
  const Noted& noted_;
  ProcessSearch processes_;
  std::map<Key, std::string> found_;
  std::map<pid_t, std::string> commands_ = {{0, {}}};
  std::map<uint64_t, pid_t> left_;  // files whose holder is not found yet, and their opener
};

WriterNotes::Search::Search(MappedFiles& mapped, dev_t device, const Noted& noted)
    : mapped_(mapped),
      noted_(noted),
      processes_(device, std::chrono::steady_clock::now() + kSearchMax, kProcessPatience) {}

std::set<pid_t> WriterNotes::Search::Take(std::vector<Holder> holders) {
  std::set<pid_t> processes;
  for (Holder& holder : holders) {
    left_.erase(holder.number);
    processes.insert(holder.pid);
    commands_[holder.pid] = std::move(holder.command);
    found_[{holder.number, holder.pid}] = std::move(holder.path);
  }
  return processes;
}

void WriterNotes::Search::AskOpeners() {
  std::vector<HeldFile> files;
  for (const WriterHandle& handle : noted_.handles) {
    files.push_back({.number = noted_.NumberOf(handle.node), .pid = handle.pid});
  }
  std::vector<Holder> holders = processes_.AskOpeners(files);
  std::set<Key> held;
  for (const Holder& holder : holders) held.emplace(holder.number, holder.pid);
  Take(std::move(holders));
  for (const HeldFile& file : files) {
    const ProcessSearch::Opener opener = processes_.OpenerOf(file.pid);
    if (held.contains({file.number, opener.process})) continue;
    left_[file.number] = opener.process;
    commands_[opener.process] = opener.command;
  }
}

std::set<uint64_t> WriterNotes::Search::LeftNumbers() const {
  std::set<uint64_t> numbers;
  for (const auto& [number, opener] : left_) numbers.insert(number);
  return numbers;
}

std::set<pid_t> WriterNotes::Search::AskHeirs(const std::set<pid_t>& processes) {
  std::set<uint64_t> numbers = LeftNumbers();
  return Take(processes_.Ask(processes, numbers));
}

std::set<pid_t> WriterNotes::Search::AskAll() {
  std::set<uint64_t> numbers = LeftNumbers();
  return Take(processes_.AskAll(numbers));
}

void WriterNotes::Search::DropReleased() {
  std::set<uint64_t> open;
  for (const WriterHandle& handle : mapped_.Writers(noted_.live->files->slot)) {
    open.insert(noted_.NumberOf(handle.node));
  }
  std::erase_if(left_, [&](const auto& file) { return !open.contains(file.first); });
}

void WriterNotes::Search::AwaitReleases() {
  const auto deadline = std::chrono::steady_clock::now() + kNoteReleaseWait;
  DropReleased();
  while (!left_.empty() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kNoteReleasePoll);
    DropReleased();
  }
}

OpenWriterList WriterNotes::Search::List(const Volume& volume, const std::string& root) const {
  std::map<Key, std::string> all = found_;
  // Not visible, e.g. a process in another PID namespace.
  for (const auto& [number, opener] : left_) {
    all[{number, GuessesOpener(opener) ? opener : 0}] = {};
  }
  OpenWriterList list{.named = {}, .total = all.size()};
  for (const auto& [key, path] : all) {
    if (list.named.size() == kRecordedWritersMax) break;
    const auto& [number, process] = key;
    std::string name = volume.PathOf(InodeOf(number));
    if (name.empty()) name = WithoutPrefix(path, root);
    list.named.push_back(
        {.pid = process, .command = commands_.at(process), .path = std::move(name)});
  }
  std::sort(list.named.begin(), list.named.end(), [](const OpenWriter& a, const OpenWriter& b) {
    return std::tie(a.path, a.pid) < std::tie(b.path, b.pid);
  });
  return list;
}

std::shared_ptr<const WriterNotes::Noted> WriterNotes::Take(
    int64_t workspace_id, std::vector<WriterHandle> handles) const {
  const auto workspace = nodes_.workspaces.Get(workspace_id);
  auto live = workspace->live();
  if (!live->files) return nullptr;
  return std::make_shared<const Noted>(
      Noted{.workspace = workspace, .live = std::move(live), .handles = std::move(handles)});
}

OpenWriterList WriterNotes::Find(const Noted& noted, const VolumeId& snapshot) {
  if (noted.handles.empty()) return {};
  Search search(mapped_, mount_.device, noted);
  search.AskOpeners();
  std::set<pid_t> heirs;
  if (!search.done()) {
    {
      const MutexLock lock(mutex_);
      heirs = heirs_;
    }
    heirs = search.AskHeirs(heirs);
    search.AwaitReleases();
  }
  if (!search.done()) {
    heirs.merge(search.AskAll());
    search.DropReleased();
  }
  if (!heirs.empty() && heirs.size() <= kHeirsMax) {
    const MutexLock lock(mutex_);
    heirs_ = std::move(heirs);
  }
  const auto record = nodes_.store.rows().FindWorkspace(noted.workspace->id());
  const std::string name = record ? record->name : std::string();
  const Backend& backend = nodes_.store.backend();
  const std::shared_ptr<Volume> volume =
      backend.capabilities().snapshots_tell_paths ? backend.Open(snapshot) : noted.live->volume;
  return search.List(*volume, mount_.options.mountpoint + "/" + name);
}

}  // namespace ckptfs
