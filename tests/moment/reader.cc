#include "tests/moment/reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "backend/base/error.h"

namespace ckptfs::moment {
namespace {

constexpr uint64_t kComplaintsMax = 10;
constexpr size_t kKeptMax = 16;
constexpr int kKeptRounds = 200;
constexpr std::chrono::seconds kEnterWait{5};
// A process stands here; it is in both states.
constexpr char kStandingIn[] = "d0";
// Directories that have changed places. A path walk that has entered one of them goes on in it, as
// it does when the two are exchanged by rename: with a rollback in between, in its restored state.
constexpr char kExchanged[] = "swap";

std::string ReadAll(int fd) {
  std::string content;
  char buffer[4096];
  off_t offset = 0;
  for (;;) {
    const ssize_t got = pread(fd, buffer, sizeof buffer, offset);
    if (got < 0) return fmt::format("(read: {})", strerror(errno));
    if (got == 0) return content;
    content.append(buffer, static_cast<size_t>(got));
    offset += got;
  }
}

std::string Headline(const std::string& content) {
  return fmt::format("'{}' and {} bytes in all", content.substr(0, content.find('\n')),
                     content.size());
}

std::string Text(const struct stat& status) {
  return fmt::format("mode {:o}, {} bytes, time {}", status.st_mode, status.st_size,
                     status.st_mtim.tv_sec);
}

}  // namespace

StateSet Reader::Window::Allowed() const {
  StateSet allowed;
  const uint64_t to = count_.begun;
  allowed.Add(StateAfter(from_));
  if (to > from_) allowed.Add(StateAfter(from_ + 1));
  return allowed;
}

std::string Reader::Window::Text() const {
  return fmt::format("{} rollbacks had returned, {} have begun", from_, count_.begun.load());
}

Reader::Reader(const std::string& root, const RollbackCount& count, uint64_t seed, bool by_name)
    : root_(root), count_(count), by_name_(by_name), random_(seed) {
  for (const std::string& path : states_.Directories()) {
    const std::string full_path = fmt::format("{}/{}", root, path);
    const int fd = open(full_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) open_directories_[path] = UniqueFd(fd);
  }
  Enter(root + "/" + kStandingIn);
}

// By name, a path walk that has passed the workspace just before a rollback may find nothing behind it.
void Reader::Enter(const std::string& directory) const {
  const auto deadline = std::chrono::steady_clock::now() + kEnterWait;
  while (chdir(directory.c_str()) != 0) {
    const bool may_be = by_name_ && (errno == ENOENT || errno == ESTALE);
    if (!may_be || std::chrono::steady_clock::now() > deadline) ThrowErrno("enter a directory");
  }
}

uint64_t Reader::Run() {
  while (!count_.stopped) {
    LookAtStat();
    LookAtContent();
    LookAtListing();
    LookRelatively();
    LookAtKept();
    if (random_() % 50 == 0) LookAtHalfListing();
  }
  for (const Kept& kept : kept_) munmap(kept.mapping, kept.bytes);
  return wrong_;
}

std::string Reader::Draw(const std::set<std::string>& of) {
  return *std::next(of.begin(), static_cast<long>(random_() % of.size()));
}

void Reader::Complain(const std::string& what) {
  if (++wrong_ <= kComplaintsMax) fmt::print("reader {}: {}\n", getpid(), what);
}

void Reader::Expect(Look look, const Window& window, const StateSet& seen, const std::string& what,
                    int error) {
  const StateSet allowed = window.Allowed();
  ++looks_[static_cast<size_t>(look)];
  strict_looks_ += allowed.a && allowed.b ? 0 : 1;
  if (seen.Meets(allowed)) return;
  const bool in_flight = allowed.a && allowed.b;
  const bool dead_root = by_name_ && (error == ENOENT || error == ESTALE);
  if (in_flight && (dead_root || (error == 0 && what.starts_with(kExchanged)))) {
    ++interrupted_;
    return;
  }
  Complain(fmt::format("{}: that is of state {}, expected {}; {}", what, seen.Name(),
                       allowed.Name(), window.Text()));
}

StateSet Reader::StatesOfStat(const struct stat& status, const std::string& path) const {
  StateSet states;
  for (const State state : kStates) {
    const Thing* const thing = states_.Find(state, path);
    if (thing != nullptr && thing->LooksLike(status)) states.Add(state);
  }
  return states;
}

StateSet Reader::StatesWithout(const std::string& path) const {
  StateSet states;
  for (const State state : kStates) {
    if (states_.Find(state, path) == nullptr) states.Add(state);
  }
  return states;
}

// Those in which nothing of that name is a directory.
StateSet Reader::StatesWithoutDirectory(const std::string& path) const {
  StateSet states;
  for (const State state : kStates) {
    const Thing* const thing = states_.Find(state, path);
    if (thing == nullptr || !S_ISDIR(thing->mode)) states.Add(state);
  }
  return states;
}

// What is open has one state in all of it: its attributes and its content.
StateSet Reader::StatesOf(int fd, const std::string& path, std::string& seen) const {
  struct stat status {};
  if (fstat(fd, &status) != 0) {
    const int error = errno;
    seen = fmt::format("fstat: {}", strerror(error));
    // A directory does not stay what it was: one that has gone since it was opened is gone.
    const bool is_gone =
        (error == ENOENT || error == ESTALE) && states_.Directories().contains(path);
    return is_gone ? StatesWithoutDirectory(path) : StateSet{};
  }
  seen = Text(status);
  StateSet states = StatesOfStat(status, path);
  if (!S_ISREG(status.st_mode)) return states;
  const std::string content = ReadAll(fd);
  seen += ", content " + Headline(content);
  const auto is_of = [&](State state) {
    const Thing* const thing = states_.Find(state, path);
    return thing != nullptr && thing->content == content;
  };
  states.a = states.a && is_of(State::kA);
  states.b = states.b && is_of(State::kB);
  return states;
}

StateSet Reader::StatesOfListing(DIR* directory, const std::string& path, std::string& seen) const {
  std::set<std::string> names;
  errno = 0;
  while (const dirent* const entry = readdir(directory)) {
    if (entry->d_name[0] != '.') names.insert(entry->d_name);
  }
  seen = errno == 0 ? "" : fmt::format("({}) ", strerror(errno));
  for (const std::string& name : names) seen += name + " ";
  StateSet states;
  for (const State state : kStates) {
    if (names == states_.NamesIn(state, path)) states.Add(state);
  }
  return states;
}

void Reader::LookAtStat() {
  const std::string path = Draw(states_.Paths());
  const Window window(count_);
  struct stat status {};
  if (lstat((root_ + "/" + path).c_str(), &status) == 0) {
    Expect(Look::kStat, window, StatesOfStat(status, path), path + " has " + Text(status));
  } else {
    const int error = errno;
    Expect(Look::kStat, window, StatesWithout(path), path + ": " + strerror(error), error);
  }
}

void Reader::LookAtContent() {
  const std::string path = Draw(states_.Paths());
  const Window window(count_);
  const UniqueFd fd(open((root_ + "/" + path).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    // A name below what is a file has another error, and the same meaning.
    const int error = errno;
    Expect(Look::kContent, window, StatesWithout(path), path + ": " + strerror(error), error);
    return;
  }
  std::string seen;
  const StateSet states = StatesOf(fd.get(), path, seen);
  Expect(Look::kContent, window, states, path + " has " + seen);
}

void Reader::LookAtListing() {
  std::set<std::string> directories = states_.Directories();
  directories.insert("");
  const std::string path = Draw(directories);
  const Window window(count_);
  const Directory directory(opendir((root_ + "/" + path).c_str()));
  if (!directory) {
    const int error = errno;
    Expect(Look::kListing, window, StatesWithoutDirectory(path),
           fmt::format("'{}' cannot be listed", path), error);
    return;
  }
  std::string seen;
  const StateSet states = StatesOfListing(directory.get(), path, seen);
  // readdir(3) takes the ENOENT of a dead directory for its end.
  Expect(Look::kListing, window, states, fmt::format("'{}' lists {}", path, seen),
         path.empty() && seen.empty() ? ENOENT : 0);
}

// From the working directory, and from directories that were open before the first rollback. One
// that has not been there all the time may give ENOENT or ESTALE, and nothing that is not its own.
void Reader::LookRelatively() {
  const auto& [directory, directory_fd] = *std::next(
      open_directories_.begin(), static_cast<long>(random_() % open_directories_.size()));
  if (directory.starts_with("swap")) return;  // it has another name in the other state
  std::set<std::string> names;
  for (const State state : kStates) names.merge(states_.NamesIn(state, directory));
  const std::string name = Draw(names);
  const std::string path = directory + "/" + name;
  const bool from_here = directory == kStandingIn && random_() % 2 == 0;
  const Window window(count_);
  if (from_here) ExpectToStandThere();
  const UniqueFd fd(
      openat(from_here ? AT_FDCWD : directory_fd.get(), name.c_str(), O_RDONLY | O_CLOEXEC));
  const int error = errno;
  std::string seen = fd.valid() ? "" : strerror(error);
  StateSet states = fd.valid() ? StatesOf(fd.get(), path, seen) : StatesWithout(path);
  const bool in_both = states_.Find(State::kA, directory) != nullptr &&
                       states_.Find(State::kB, directory) != nullptr;
  if (!fd.valid() && !in_both && (error == ENOENT || error == ESTALE)) states = {true, true};
  Expect(Look::kRelative, window, states,
         fmt::format("{} in an open {}: {}", name, directory, seen));
}

void Reader::ExpectToStandThere() {
  // While somebody else walks to it for the first time after a rollback, the kernel has taken its
  // name away, and gives it back when the name has been looked up.
  constexpr int kTries = 200;
  std::string seen;
  for (int i = 0; i < kTries; ++i) {
    const std::unique_ptr<char, decltype(&free)> here(getcwd(nullptr, 0), &free);
    if (here && root_ + "/" + kStandingIn == here.get()) return;
    seen = here ? here.get() : strerror(errno);
    if (here) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  Complain("the working directory is " + seen);
}

void Reader::KeepOne() {
  const std::string path = Draw(states_.Paths());
  UniqueFd fd(open((root_ + "/" + path).c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!fd.valid() || fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
  const StateSet states = StatesOfStat(status, path);
  const auto bytes = static_cast<size_t>(status.st_size);
  void* const mapping = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (mapping == MAP_FAILED) {
    Complain(fmt::format("{} cannot be mapped: {}", path, strerror(errno)));
    return;
  }
  kept_.push_back({.path = path,
                   .states = states,
                   .fd = std::move(fd),
                   .mapping = mapping,
                   .bytes = bytes,
                   .rounds = kKeptRounds});
}

void Reader::LookAtKept() {
  if (kept_.size() < kKeptMax) KeepOne();
  if (kept_.empty()) return;
  Kept& kept = kept_.front();
  std::string seen;
  ++looks_[static_cast<size_t>(Look::kKeptHandle)];
  if (!StatesOf(kept.fd.get(), kept.path, seen).Meets(kept.states)) {
    Complain(
        fmt::format("{} that was opened in state {} has {}", kept.path, kept.states.Name(), seen));
  }
  ++looks_[static_cast<size_t>(Look::kMapping)];
  const std::string mapped(static_cast<const char*>(kept.mapping), kept.bytes);
  const Thing& thing = *states_.Find(kept.states.a ? State::kA : State::kB, kept.path);
  if (mapped != thing.content) {
    Complain(fmt::format("{} that was mapped in state {} has {}", kept.path, kept.states.Name(),
                         Headline(mapped)));
  }
  if (--kept.rounds > 0) {
    kept_.splice(kept_.end(), kept_, kept_.begin());
    return;
  }
  munmap(kept.mapping, kept.bytes);
  kept_.pop_front();
}

// What is left of a listing after a rollback may be of either state; read anew it is of the new one.
void Reader::LookAtHalfListing() {
  const std::string path = kStandingIn;
  const Window opened(count_);
  const Directory directory(opendir((root_ + "/" + path).c_str()));
  if (!directory || readdir(directory.get()) == nullptr) {
    const int error = errno;
    Expect(Look::kHalfListing, opened, {}, path + " cannot be listed", error);
    return;
  }
  const uint64_t before = count_.returned;
  for (int i = 0; i < 50 && count_.returned == before && !count_.stopped; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  while (const dirent* const entry = readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (!states_.NamesIn(State::kA, path).contains(name) &&
        !states_.NamesIn(State::kB, path).contains(name)) {
      Complain(fmt::format("the rest of a listing of {} has {}", path, name));
    }
  }
  const Window window(count_);
  rewinddir(directory.get());
  std::string seen;
  const StateSet states = StatesOfListing(directory.get(), path, seen);
  Expect(Look::kHalfListing, window, states, fmt::format("'{}' read anew lists {}", path, seen));
}

}  // namespace ckptfs::moment
