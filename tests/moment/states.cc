#include "tests/moment/states.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"

namespace ckptfs::moment {
namespace {

constexpr int kDirectories = 4;
constexpr int kFiles = 4;

void WriteFile(const std::string& path, const std::string& content) {
  const UniqueFd fd(CheckSyscall(open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600),
                                 "make " + path));
  const ssize_t written =
      CheckSyscall(write(fd.get(), content.data(), content.size()), "write " + path);
  if (static_cast<size_t>(written) != content.size()) throw Error(EIO, "write " + path);
}

}  // namespace

bool Thing::LooksLike(const struct stat& status) const {
  return status.st_mode == mode && status.st_mtim.tv_sec == mtime_s &&
         (S_ISDIR(mode) || static_cast<size_t>(status.st_size) == content.size());
}

States::States() {
  for (const State state : kStates) {
    for (int d = 0; d < kDirectories; ++d) {
      const std::string directory = fmt::format("d{}", d);
      Add(state, directory, true);
      for (int f = 0; f < kFiles; ++f) Add(state, fmt::format("{}/f{}", directory, f), false);
      Add(state, directory + (state == State::kA ? "/in-a" : "/in-b"), false);
    }
    const std::string only = state == State::kA ? "only-a" : "only-b";
    Add(state, only, true);
    Add(state, only + "/x", false);
    for (const char* swapped : {"swap1", "swap2"}) {
      Add(state, swapped, true);
      Add(state, std::string(swapped) + "/f", false);
    }
    Add(state, "kind", state == State::kB);
  }
  Add(State::kB, "kind/x", false);
}

void States::Add(State state, const std::string& path, bool is_directory) {
  const bool is_a = state == State::kA;
  auto& things = things_[static_cast<size_t>(state)];
  Thing& thing = things[path];
  const size_t index = things.size();
  thing.mtime_s = static_cast<time_t>((is_a ? 1000000 : 2000000) + index);
  if (is_directory) {
    thing.mode = S_IFDIR | (is_a ? 0750 : 0755);
  } else {
    thing.mode = S_IFREG | (is_a ? 0640 : 0604);
    thing.content = fmt::format("{} {}\n", is_a ? 'A' : 'B', path);
    thing.content.resize(is_a ? 1000 + index * 37 : 9000 + index * 53, is_a ? 'a' : 'b');
  }
  paths_.insert(path);
}

const Thing* States::Find(State state, const std::string& path) const {
  const auto& things = Of(state);
  const auto found = things.find(path);
  return found == things.end() ? nullptr : &found->second;
}

std::set<std::string> States::NamesIn(State state, const std::string& directory) const {
  std::set<std::string> names;
  for (const auto& [path, thing] : Of(state)) {
    const std::filesystem::path split(path);
    if (split.parent_path() == directory) names.insert(split.filename().string());
  }
  return names;
}

std::set<std::string> States::Directories() const {
  std::set<std::string> found;
  for (const State state : kStates) {
    for (const auto& [path, thing] : Of(state)) {
      if (S_ISDIR(thing.mode)) found.insert(path);
    }
  }
  return found;
}

void States::Put(State state, const std::string& root, const std::string& path) const {
  const Thing& thing = *Find(state, path);
  const std::string where = root + "/" + path;
  if (!S_ISDIR(thing.mode)) {
    WriteFile(where, thing.content);
  } else {
    CheckSyscall(mkdir(where.c_str(), 0755), "mkdir " + where);
  }
}

void States::SetAttributes(State state, const std::string& root) const {
  // Backwards: what is in a directory before the directory.
  const auto& things = Of(state);
  auto it = things.end();
  while (it != things.begin()) {
    --it;
    const std::string where = root + "/" + it->first;
    CheckSyscall(chmod(where.c_str(), it->second.mode & 07777), "chmod " + where);
    const timespec time{.tv_sec = it->second.mtime_s, .tv_nsec = 0};
    const timespec times[2] = {time, time};
    CheckSyscall(utimensat(AT_FDCWD, where.c_str(), times, 0), "set the time of " + where);
  }
}

void States::MakeA(const std::string& root) const {
  for (const auto& [path, thing] : Of(State::kA)) Put(State::kA, root, path);
  SetAttributes(State::kA, root);
}

void States::MakeBOfA(const std::string& root) const {
  std::filesystem::remove_all(root + "/only-a");
  std::filesystem::remove(root + "/kind");
  CheckSyscall(renameat2(AT_FDCWD, (root + "/swap1").c_str(), AT_FDCWD, (root + "/swap2").c_str(),
                         RENAME_EXCHANGE),
               "exchange two directories");
  for (const auto& [path, thing] : Of(State::kB)) {
    const std::string where = fmt::format("{}/{}", root, path);
    if (Find(State::kA, path) == nullptr || path == "kind") {
      Put(State::kB, root, path);
    } else if (!S_ISDIR(thing.mode) && thing.mtime_s % 2 == 0) {
      WriteFile(where + ".new", thing.content);
      std::filesystem::rename(where + ".new", where);
    } else if (!S_ISDIR(thing.mode)) {
      WriteFile(where, thing.content);
    }
  }
  for (int d = 0; d < kDirectories; ++d) {
    std::filesystem::remove(fmt::format("{}/d{}/in-a", root, d));
  }
  SetAttributes(State::kB, root);
}

}  // namespace ckptfs::moment
