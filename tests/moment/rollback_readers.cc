// rollback_readers: do readers see a rollback as one step?
//
// A workspace is rolled back and forth between two states in which each thing tells which one it is
// of, while processes read it. Whatever they find by a path walk has to be all of one state, and
// once the call that rolled back has returned, of the state that it restored; see reader.h.
//
// Exit status: 0 if all was well, 1 if something was seen that must not be, 2 if something failed.
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"
#include "tests/moment/reader.h"

namespace ckptfs::moment {
namespace {

struct Request {
  std::string mount;
  std::string workspace = "readers";
  std::string way = "live";
  int readers = 4;
  double seconds = 5;
  int pause_max_ms = 10;

  std::string root() const { return mount + "/" + workspace; }
  std::string Snapshot(State state) const {
    return mount + "/.snapshots/" + workspace + (state == State::kA ? "/a" : "/b");
  }
};

void RenameOver(const std::string& from, const std::string& to) {
  CheckSyscall(rename(from.c_str(), to.c_str()), "rename " + from + " over " + to);
}

void RunCkpt(const Request& request, State state) {
  std::vector<std::string> words = {"ckpt",         "rollback", "-w",
                                    request.root(), "-s",       state == State::kA ? "a" : "b"};
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, "ckpt", &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw Error(error, "start ckpt");
  int status = 0;
  CheckSyscall(waitpid(pid, &status, 0), "wait for ckpt");
  if (status != 0) throw Error(EIO, "run ckpt rollback", fmt::format("it ended with {}", status));
}

void RollBack(const Request& request, State state) {
  const std::string snapshot = request.Snapshot(state);
  if (request.way == "ckpt") {
    RunCkpt(request, state);
  } else if (request.way == "name") {
    RenameOver(snapshot, request.root());
  } else {
    RenameOver(snapshot, request.mount + "/.snapshots/" + request.workspace + "/.live");
  }
}

void MakeSnapshot(const Request& request, State state) {
  const std::string path = request.Snapshot(state);
  CheckSyscall(mkdir(path.c_str(), 0755), "mkdir " + path);
}

// A watch on a directory that is in both states must go on watching it, and never be told that it
// has gone. (The root is another matter where it is replaced by name.)
class Watch {
 public:
  explicit Watch(std::string directory)
      : directory_(std::move(directory)),
        fd_(CheckSyscall(inotify_init1(IN_NONBLOCK | IN_CLOEXEC), "make a watch")) {
    CheckSyscall(inotify_add_watch(fd_.get(), directory_.c_str(),
                                   IN_CREATE | IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF),
                 "watch " + directory_);
  }

  // Whether all is well: nothing was told so far but what follows here.
  bool GoesOn() const {
    bool well = Events().empty();
    const std::string path = directory_ + "/watched";
    const UniqueFd made(CheckSyscall(
        open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600), "make " + path));
    CheckSyscall(write(made.get(), "x", 1), "write " + path);
    const std::string events = Events();
    well = well && events == "create watched, modify watched, ";
    if (!well) fmt::print("the watch on {} told: {}\n", directory_, events);
    return well;
  }

 private:
  std::string Events() const {
    std::string text;
    alignas(inotify_event) char buffer[8192];
    for (;;) {
      const ssize_t got = read(fd_.get(), buffer, sizeof buffer);
      if (got <= 0) return text;
      for (ssize_t at = 0; at < got;) {
        const auto* const event = reinterpret_cast<const inotify_event*>(buffer + at);
        const std::string name = event->len > 0 ? event->name : "";
        if ((event->mask & IN_CREATE) != 0) {
          text += "create " + name + ", ";
        } else if ((event->mask & IN_MODIFY) != 0) {
          text += "modify " + name + ", ";
        } else {
          text += fmt::format("event {:#x} {}, ", event->mask, name);
        }
        at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      }
    }
  }

  const std::string directory_;
  const UniqueFd fd_;
};

// The readers' processes; reaped at the end of its life.
class Readers {
 public:
  Readers(const Request& request, RollbackCount& count) : count_(count) {
    std::fflush(nullptr);
    for (int i = 0; i < request.readers; ++i) {
      const pid_t pid = CheckSyscall(fork(), "start a reader");
      if (pid != 0) {
        pids_.push_back(pid);
        continue;
      }
      int status = 2;
      try {
        Reader reader(request.root(), count, static_cast<uint64_t>(i) + 1, request.way == "name");
        const uint64_t wrong = reader.Run();
        status = wrong == 0 ? 0 : 1;
        fmt::print(
            "reader {}: {} wrong; {} stats, {} contents, {} listings, {} relative, {} kept, "
            "{} half listings; {} while nothing was in flight, {} interrupted\n",
            i, wrong, reader.Looks(Look::kStat), reader.Looks(Look::kContent),
            reader.Looks(Look::kListing), reader.Looks(Look::kRelative),
            reader.Looks(Look::kKeptHandle), reader.Looks(Look::kHalfListing),
            reader.strict_looks(), reader.interrupted());
      } catch (const std::exception& error) {
        fmt::print(stderr, "reader {}: {}\n", i, error.what());
      }
      std::fflush(nullptr);
      _exit(status);
    }
  }
  ~Readers() { End(); }
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  // Returns the worst exit status.
  int End() {
    count_.stopped = true;
    int worst = 0;
    for (const pid_t pid : pids_) {
      int status = 0;
      if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) status = 2 << 8;
      worst = std::max(worst, WEXITSTATUS(status));
    }
    pids_.clear();
    return worst;
  }

 private:
  RollbackCount& count_;
  std::vector<pid_t> pids_;
};

int Run(const Request& request) {
  using Clock = std::chrono::steady_clock;
  CheckSyscall(mkdir(request.root().c_str(), 0755), "mkdir " + request.root());
  const States states;
  states.MakeA(request.root());
  MakeSnapshot(request, State::kA);
  states.MakeBOfA(request.root());
  MakeSnapshot(request, State::kB);
  RollBack(request, State::kA);

  void* const memory = mmap(nullptr, sizeof(RollbackCount), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) ThrowErrno("get memory");
  auto& count = *new (memory) RollbackCount{};
  const Watch watch(request.root() + "/d1");
  std::mt19937_64 random(1);
  Readers readers(request, count);
  const auto end =
      Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(request.seconds * 1000));
  double longest_ms = 0;
  while (Clock::now() < end) {
    std::this_thread::sleep_for(
        std::chrono::milliseconds(random() % (static_cast<uint64_t>(request.pause_max_ms) + 1)));
    const uint64_t number = count.begun + 1;
    count.begun = number;
    const auto start = Clock::now();
    RollBack(request, StateAfter(number));
    longest_ms = std::max(longest_ms,
                          std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    count.returned = number;
  }
  int status = readers.End();
  if (!watch.GoesOn()) status = std::max(status, 1);
  fmt::print("{}: {} rollbacks, the longest took {:.1f} ms\n", request.way, count.returned.load(),
             longest_ms);
  return status;
}

}  // namespace
}  // namespace ckptfs::moment

int main(int argc, char** argv) {
  ckptfs::moment::Request request;
  CLI::App app("Readers of a workspace that is rolled back and forth");
  app.add_option("--mount", request.mount, "The mount point")->required();
  app.add_option("--workspace", request.workspace, "The name of the workspace to make");
  app.add_option("--way", request.way, "How to roll back")
      ->check(CLI::IsMember({"live", "name", "ckpt"}));
  app.add_option("--readers", request.readers, "How many readers");
  app.add_option("--seconds", request.seconds, "How long");
  app.add_option("--pause-max-ms", request.pause_max_ms, "Between two rollbacks");
  CLI11_PARSE(app, argc, argv);
  try {
    return ckptfs::moment::Run(request);
  } catch (const std::exception& error) {
    fmt::print(stderr, "rollback_readers: {}\n", error.what());
    return 2;
  }
}
