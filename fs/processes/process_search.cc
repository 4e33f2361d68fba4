#include "fs/processes/process_search.h"

#include <spdlog/spdlog.h>

#include <array>
#include <string_view>

#include "backend/base/packing.h"
#include "fs/processes/stuck_places.h"

namespace ckptfs {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatience{100};
constexpr milliseconds kInterruptedMax{200};

// The kinds of report of a search.
constexpr uint64_t kHolder = 1;
constexpr uint64_t kOpener = 2;

// Open files come first, then mapped ones: reading mappings may block, and little is left to find after it.
enum class Pass : uint64_t { kOpen = 1, kMapped = 2 };
constexpr std::array kPasses = {Pass::kOpen, Pass::kMapped};

uint64_t PlaceOf(Pass pass, pid_t process) {
  return static_cast<uint64_t>(pass) << 32 | static_cast<uint32_t>(process);
}
pid_t ProcessAt(uint64_t place) { return static_cast<pid_t>(place & UINT32_MAX); }

// --- Tasks -------------------------------------------------------------------------------------------

template <typename Numbers>
void PackAll(Packer& packer, const Numbers& numbers) {
  packer.Number(numbers.size());
  for (const auto number : numbers) packer.Number(static_cast<uint64_t>(number));
}

template <typename Number>
std::set<Number> UnpackAll(Unpacker& unpacker) {
  std::set<Number> numbers;
  for (uint64_t left = unpacker.Number(); left != 0; --left) {
    numbers.insert(numbers.end(), static_cast<Number>(unpacker.Number()));
  }
  return numbers;
}

// The first part of each request of a search.
class Walk {
 public:
  static void Pack(Packer& packer, dev_t device, uint64_t behind, const std::set<uint64_t>& stuck) {
    packer.Number(device).Number(behind);
    PackAll(packer, stuck);
  }

  Walk(Scout& scout, Unpacker& request)
      : scout_(scout),
        device_(request.Number()),
        behind_(request.Number()),
        stuck_(UnpackAll<uint64_t>(request)) {}

  // Removes the files from `numbers` that the process has.
  void Look(Pass pass, pid_t process, std::set<uint64_t>& numbers) {
    const uint64_t place = PlaceOf(pass, process);
    if (numbers.empty() || place <= behind_ || stuck_.contains(place)) return;
    scout_.LookAt(place);
    const auto take = [this](const Holder& holder) {
      Packer report;
      report.Number(kHolder).Number(holder.number).Number(static_cast<uint64_t>(holder.pid));
      scout_.Report(report.Text(holder.path).Text(holder.command).bytes());
    };
    (pass == Pass::kOpen ? TakeOpen : TakeMapped)(process, device_, numbers, take);
  }

 private:
  Scout& scout_;
  const dev_t device_;
  const uint64_t behind_;
  const std::set<uint64_t> stuck_;
};

void RunAsk(Scout& scout, std::string_view bytes) {
  Unpacker request(bytes);
  Walk walk(scout, request);
  std::set<uint64_t> numbers = UnpackAll<uint64_t>(request);
  const std::set<pid_t> asked = UnpackAll<pid_t>(request);
  const std::vector<pid_t> processes =
      asked.empty() ? AllProcesses() : std::vector<pid_t>(asked.begin(), asked.end());
  for (const Pass pass : kPasses) {
    for (const pid_t process : processes) walk.Look(pass, process, numbers);
  }
}

void RunAskOpeners(Scout& scout, std::string_view bytes) {
  Unpacker request(bytes);
  Walk walk(scout, request);
  std::map<pid_t, std::set<uint64_t>> by_thread;
  while (!request.empty()) {
    const auto thread = static_cast<pid_t>(request.Number());
    by_thread[thread].insert(request.Number());
  }
  std::map<pid_t, std::set<uint64_t>> by_process;
  Packer openers;
  openers.Number(kOpener);
  for (auto& [thread, numbers] : by_thread) {
    const pid_t process = ProcessOf(thread);
    if (process == 0) continue;
    openers.Number(static_cast<uint64_t>(thread)).Number(static_cast<uint64_t>(process));
    openers.Text(CommandOf(process));
    by_process[process].merge(numbers);
  }
  scout.Report(openers.bytes());
  for (const Pass pass : kPasses) {
    for (auto& [process, numbers] : by_process) walk.Look(pass, process, numbers);
  }
}

void RunInterrupted(Scout& scout, std::string_view bytes) {
  Unpacker request(bytes);
  Packer interrupted;
  const auto by = static_cast<Signals>(request.Number());
  while (!request.empty()) {
    const uint64_t thread = request.Number();
    if (IsInterrupted(static_cast<pid_t>(thread), by)) interrupted.Number(thread);
  }
  scout.Report(interrupted.bytes());
}

// --- Their answers -------------------------------------------------------------------------------------

StuckPlaces stuck_at_files;  // of PlaceOf

// False if the report is of another kind.
bool ReadHolder(const std::string& report, std::vector<Holder>& holders) {
  Unpacker fields(report);
  if (fields.Number() != kHolder) return false;
  Holder holder;
  holder.number = fields.Number();
  holder.pid = static_cast<pid_t>(fields.Number());
  holder.path = fields.Text();
  holder.command = fields.Text();
  holders.push_back(std::move(holder));
  return true;
}

}  // namespace

ProcessSearch::ProcessSearch(dev_t device, Deadline deadline, milliseconds patience)
    : device_(device), deadline_(deadline), patience_(patience) {}

void ProcessSearch::NoteStuck(uint64_t place) {
  const pid_t process = ProcessAt(place);
  unseen_.insert(process);
  if (stuck_at_files.Add(place)) {
    spdlog::warn("look at the open files of process {}: it hangs and is skipped", process);
  }
}

void ProcessSearch::Run(Scouts::Task task,
                        const std::function<std::string(uint64_t behind)>& request,
                        const std::function<void(const std::string&)>& take) {
  for (const uint64_t place : stuck_at_files.Now()) unseen_.insert(ProcessAt(place));
  Scouts::Outcome outcome;
  do {
    outcome = Scouts::Send(task, request(outcome.place), deadline_, patience_);
    for (const std::string& report : outcome.reports) take(report);
    if (outcome.end == Scouts::Outcome::End::kStuck) NoteStuck(outcome.place);
  } while (outcome.end == Scouts::Outcome::End::kStuck && Scouts::Clock::now() < deadline_);
  is_late_ = is_late_ || outcome.end != Scouts::Outcome::End::kDone;
}

std::vector<Holder> ProcessSearch::AskOpeners(const std::vector<HeldFile>& files) {
  std::vector<Holder> holders;
  std::set<std::pair<uint64_t, pid_t>> known;
  const auto request = [&](uint64_t behind) {
    Packer packer;
    Walk::Pack(packer, device_, behind, stuck_at_files.Now());
    for (const HeldFile& file : files) {
      packer.Number(static_cast<uint64_t>(file.pid)).Number(file.number);
    }
    return packer.bytes();
  };
  Run(RunAskOpeners, request, [&](const std::string& report) {
    if (ReadHolder(report, holders)) {
      // After a hang, holders that were already reported may be reported again.
      const Holder& holder = holders.back();
      if (!known.emplace(holder.number, holder.pid).second) holders.pop_back();
      return;
    }
    Unpacker fields(report);
    fields.Number();
    while (!fields.empty()) {
      Opener& opener = openers_[static_cast<pid_t>(fields.Number())];
      opener.process = static_cast<pid_t>(fields.Number());
      opener.command = fields.Text();
    }
  });
  return holders;
}

ProcessSearch::Opener ProcessSearch::OpenerOf(pid_t thread) const {
  const auto opener = openers_.find(thread);
  return opener == openers_.end() ? Opener{} : opener->second;
}

std::vector<Holder> ProcessSearch::AskFor(const std::set<pid_t>& processes,
                                          std::set<uint64_t>& numbers) {
  std::vector<Holder> holders;
  const auto request = [&](uint64_t behind) {
    Packer packer;
    Walk::Pack(packer, device_, behind, stuck_at_files.Now());
    PackAll(packer, numbers);
    PackAll(packer, processes);
    return packer.bytes();
  };
  Run(RunAsk, request, [&](const std::string& report) {
    if (ReadHolder(report, holders)) numbers.erase(holders.back().number);
  });
  return holders;
}

std::vector<Holder> ProcessSearch::Ask(const std::set<pid_t>& processes,
                                       std::set<uint64_t>& numbers) {
  if (processes.empty() || numbers.empty()) return {};
  return AskFor(processes, numbers);
}

std::vector<Holder> ProcessSearch::AskAll(std::set<uint64_t>& numbers) {
  return numbers.empty() ? std::vector<Holder>() : AskFor({}, numbers);
}

FoundHolders FindHolders(dev_t device, const std::vector<HeldFile>& files,
                         ProcessSearch::Deadline deadline) {
  ProcessSearch search(device, deadline, kPatience);
  FoundHolders found{.holders = search.AskOpeners(files)};
  std::set<uint64_t> left;
  for (const HeldFile& file : files) left.insert(file.number);
  for (const Holder& holder : found.holders) left.erase(holder.number);
  for (Holder& holder : search.AskAll(left)) found.holders.push_back(std::move(holder));
  for (const HeldFile& file : files) {
    const ProcessSearch::Opener opener = search.OpenerOf(file.pid);
    if (!search.unseen().contains(opener.process) || left.erase(file.number) == 0) continue;
    found.unseen.push_back(
        {.number = file.number, .pid = opener.process, .path = {}, .command = opener.command});
  }
  found.is_complete = !search.is_late() && search.unseen().empty();
  return found;
}

std::set<pid_t> InterruptedThreads(const std::set<pid_t>& threads, Signals by) {
  Packer request;
  request.Number(static_cast<uint64_t>(by));
  for (const pid_t thread : threads) request.Number(static_cast<uint64_t>(thread));
  const Scouts::Outcome outcome = Scouts::Send(RunInterrupted, request.bytes(),
                                               Scouts::Clock::now() + kInterruptedMax, kPatience);
  std::set<pid_t> interrupted;
  for (const std::string& report : outcome.reports) {
    for (Unpacker fields(report); !fields.empty();) {
      interrupted.insert(static_cast<pid_t>(fields.Number()));
    }
  }
  return interrupted;
}

std::string WithoutPrefix(std::string path, const std::string& prefix) {
  if (path.starts_with(prefix + "/")) path.erase(0, prefix.size() + 1);
  return path;
}

}  // namespace ckptfs
