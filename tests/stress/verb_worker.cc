#include "tests/stress/verb_worker.h"

#include <dirent.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "tests/stress/program.h"

namespace ckptfs::stress {
namespace {

constexpr char kPinned[] = "user.ckptfs.pinned";
constexpr size_t kSnapshotsMax = 24;

std::string ListOf(const std::string& workspace) { return ".snapshots/" + workspace; }
std::string InnerListOf(const std::string& workspace) { return workspace + "/.snapshots"; }

}  // namespace

void VerbWorker::Rename(Operation operation, const std::string& from, const std::string& to,
                        unsigned int flags) {
  Call(operation, fmt::format("{} -> {}, flags {}", from, to, flags),
       [&] { return renameat2(root(), from.c_str(), root(), to.c_str(), flags); });
}

std::vector<std::string> VerbWorker::List(const std::string& directory) {
  std::vector<std::string> names;
  Call(Operation::kList, directory, [&] {
    const int fd = openat(root(), directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(fd), closedir);
    if (!stream) return -1;
    errno = 0;
    while (const dirent* entry = readdir(stream.get())) {
      if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    }
    return errno == 0 ? 0 : -1;
  });
  return names;
}

void VerbWorker::Delete(const std::string& workspace, const std::string& snapshot) {
  const std::string path = ListOf(workspace) + "/" + snapshot;
  Call(Operation::kDeleteSnapshot, path,
       [&] { return unlinkat(root(), path.c_str(), AT_REMOVEDIR); });
}

void VerbWorker::ThinOut(const std::string& workspace) {
  std::vector<std::string> names = List(ListOf(workspace));
  if (names.size() <= kSnapshotsMax) return;
  std::shuffle(names.begin(), names.end(), std::minstd_rand(static_cast<uint32_t>(Random(1000))));
  names.resize(kSnapshotsMax / 2);
  for (const std::string& name : names) Delete(workspace, name);
}

void VerbWorker::TakeDown(const std::string& workspace) {
  for (const std::string& name : List(ListOf(workspace))) {
    const std::string path = ListOf(workspace) + "/" + name;
    const std::string absolute = fmt::format("/proc/self/fd/{}/{}", root(), path);
    Call(Operation::kUnpin, path, [&] { return setxattr(absolute.c_str(), kPinned, "0", 1, 0); });
    Delete(workspace, name);
  }
  for (const std::string& directory : {workspace + "/d0", workspace + "/d1", workspace}) {
    for (const std::string& name : List(directory)) {
      const std::string path = fmt::format("{}/{}", directory, name);
      const bool is_directory = name[0] == 'd';
      Call(is_directory ? Operation::kRemoveDirectory : Operation::kUnlink, path,
           [&] { return unlinkat(root(), path.c_str(), is_directory ? AT_REMOVEDIR : 0); });
    }
  }
  Call(Operation::kRemoveWorkspace, workspace,
       [&] { return unlinkat(root(), workspace.c_str(), AT_REMOVEDIR); });
}

void VerbWorker::Promote(const std::string& workspace, const std::string& snapshot) {
  std::string other = AnyWorkspace();
  if (other == workspace) other = other == "f" ? "e" : "f";
  Rename(Operation::kPromote, snapshot, other);
}

void VerbWorker::SetPinned(const std::string& snapshot, bool pinned) {
  const std::string path = fmt::format("/proc/self/fd/{}/{}", root(), snapshot);
  Call(pinned ? Operation::kPin : Operation::kUnpin, snapshot,
       [&] { return setxattr(path.c_str(), kPinned, pinned ? "1" : "0", 1, 0); });
}

void VerbWorker::Step() {
  const std::string w = AnyWorkspace();
  const std::string s = ListOf(w) + "/" + AnySnapshot();
  const std::string inner = InnerListOf(w) + "/" + AnySnapshot();
  const bool inside = Chance(2);
  const std::string& either = inside ? inner : s;
  switch (Random(20)) {
    case 0:
      Call(Operation::kMakeWorkspace, w, [&] { return mkdirat(root(), w.c_str(), 0755); });
      break;
    case 1:
      if (w != "a" && Chance(4)) TakeDown(w);
      Call(Operation::kRemoveWorkspace, w,
           [&] { return unlinkat(root(), w.c_str(), AT_REMOVEDIR); });
      break;
    case 2:
      Rename(Operation::kRenameWorkspace, w, AnyWorkspace(), Chance(2) ? RENAME_NOREPLACE : 0);
      break;
    case 3:
    case 4:
    case 5:
    case 6:
      Call(Operation::kCheckpoint, either, [&] { return mkdirat(root(), either.c_str(), 0755); });
      break;
    case 7:
      Call(Operation::kDeleteSnapshot, either,
           [&] { return unlinkat(root(), either.c_str(), AT_REMOVEDIR); });
      break;
    case 8:
      Rename(Operation::kRenameSnapshot, either,
             (inside ? InnerListOf(w) : ListOf(w)) + "/" + AnySnapshot());
      break;
    case 9:
    case 10:
      Rename(Operation::kRollbackLive, either, (inside ? InnerListOf(w) : ListOf(w)) + "/.live");
      break;
    case 11:
    case 12:
      if (settings().by_name) Rename(Operation::kRollbackName, s, w);
      break;
    case 13:
      Rename(Operation::kFork, s, std::string(1, static_cast<char>('b' + Random(6))),
             RENAME_NOREPLACE);
      break;
    case 14:
      Rename(Operation::kExchange, s, settings().by_name && Chance(2) ? w : ListOf(w) + "/.live",
             RENAME_EXCHANGE);
      break;
    case 15:
      if (settings().by_name) Promote(w, either);
      break;
    case 16:
      SetPinned(either, Chance(4));
      break;
    case 17:
      ThinOut(w);
      break;
    case 18:
      StepRefused();
      break;
    default:
      if (settings().use_ckpt && Chance(3)) StepCkpt();
      break;
  }
}

// What the kernel refuses by itself, because one of the two names lies below the other, and what
// ckptfs has to refuse.
void VerbWorker::StepRefused() {
  const std::string w = AnyWorkspace();
  const std::string s = ListOf(w) + "/" + AnySnapshot();
  const std::string inner = InnerListOf(w) + "/" + AnySnapshot();
  switch (Random(14)) {
    case 0:
      Rename(Operation::kRenameOntoAncestor, inner, w, Chance(2) ? RENAME_NOREPLACE : 0);
      break;
    case 1:
      Rename(Operation::kRenameOntoAncestor, s, ".snapshots");
      break;
    case 2:
      Rename(Operation::kExchangeWithAncestor, inner, w, RENAME_EXCHANGE);
      break;
    case 3:
      Rename(Operation::kMoveIntoItself, w, inner);
      break;
    case 4:
      Rename(Operation::kMoveElsewhere, w, s);
      break;
    case 5:
      Rename(Operation::kMoveElsewhere, s, ListOf(w == "a" ? "b" : "a") + "/" + AnySnapshot());
      break;
    case 6:  // what mv(1) without -T asks for
      Rename(Operation::kMoveElsewhere, s, w + "/" + AnySnapshot());
      break;
    case 7:
      Rename(Operation::kMoveElsewhere, w + "/d0", s);
      break;
    case 8:
      Rename(Operation::kMoveElsewhere, s, ListOf(w) + "/" + AnySnapshot(), RENAME_EXCHANGE);
      break;
    case 9:
      Rename(Operation::kMoveElsewhere, ListOf(w), ".snapshots/new");
      break;
    case 10:
      Rename(Operation::kMoveOutOfWorkspace, w + "/d0", "z");
      break;
    case 11:
      Rename(Operation::kMoveWithinSnapshots, s + "/d0", ListOf(w) + "/" + AnySnapshot());
      break;
    case 12: {
      const std::string path = Chance(2) ? ListOf(w) : InnerListOf(w);
      Call(Operation::kRemoveList, path,
           [&] { return unlinkat(root(), path.c_str(), AT_REMOVEDIR); });
      break;
    }
    default: {
      const std::string path = s + "/new";
      Call(Operation::kWriteBelowSnapshot, path,
           [&] { return mkdirat(root(), path.c_str(), 0755); });
      break;
    }
  }
}

void VerbWorker::RunCkpt(Operation operation, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"ckpt"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  ProgramResult result;
  const int code = CallProgram(operation, arguments[2], [&] {
    result = RunProgram(words, root());
    return result.exit_code;
  });
  if (!IsAllowed(operation, code)) board().Fail(result.errors);
}

void VerbWorker::StepCkpt() {
  const std::string w = AnyWorkspace();
  const std::string s = AnySnapshot();
  switch (Random(7)) {
    case 0:
      RunCkpt(Operation::kCkptCheckpoint, {"checkpoint", "-w", w, "-s", s});
      break;
    case 1:
      RunCkpt(Operation::kCkptRollback, {"rollback", "-w", w, "-s", s});
      break;
    case 2:
      RunCkpt(Operation::kCkptRollbackForce, {"rollback", "-w", w, "-s", s, "--force"});
      break;
    case 3:
      RunCkpt(Operation::kCkptFork, {"fork", "-w", w, "-s", s, AnyWorkspace()});
      break;
    case 4:
      RunCkpt(Operation::kCkptDelete, {"delete", "-w", w, "-s", s});
      break;
    case 5:
      RunCkpt(Operation::kCkptList, {"list", "-w", w});
      break;
    default:
      RunCkpt(Operation::kCkptDiff, {"diff", "-w", w, "-f", s});
      break;
  }
}

}  // namespace ckptfs::stress
