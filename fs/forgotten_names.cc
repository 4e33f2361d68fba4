#include "fs/forgotten_names.h"

#include <dirent.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

// Fewer directories than this are looked through at once, whether or not the kernel still knows them.
constexpr size_t kFewDirectories = 32;
// The kernel sends its FORGETs as fast as they are taken. If none came for so long, that was all.
constexpr std::chrono::microseconds kForgetPoll{200};
constexpr int kQuietPolls = 5;
constexpr std::chrono::seconds kForgetsMax{2};
// What is remembered for ExpireAgain.
constexpr size_t kRememberedMax = 100'000;

constexpr size_t kDirectoriesMax = 64;

constexpr std::chrono::milliseconds kLookUpMax{100};

struct DirCloser {
  void operator()(DIR* directory) const noexcept { closedir(directory); }
};

}  // namespace

ForgottenNames::ForgottenNames(MountContext& mount, std::shared_ptr<LiveWorkspace> workspace)
    : mount_(mount),
      workspace_(std::move(workspace)),
      stop_(*workspace_),
      root_(workspace_->root_node()) {
  if (!mount_.can_expire_names) return;  // it keeps none anyway
  std::vector<NodeId> directories = workspace_->directories().All();
  for (const NodeId directory : directories) mount_.kernel.AwaitLookups(directory);
  mount_.kernel.AwaitLookups(root_);
  DropUnused();
  AwaitForgets();
  const auto live = workspace_->live();
  if (!live->volume) return;
  directories = workspace_->directories().All();
  for (const NodeId directory : directories) ExpireUsed(directory, *live);
  ExpireUsed(root_, *live);
}

// The directory itself has no place in the kernel's books then, until it is looked up: whoever stands
// below it would be told ENOENT by getcwd(2).
void ForgottenNames::DropUnused() {
  const std::string name = mount_.NameOf(workspace_->id());
  mount_.kernel.DropNamesBelow(kMountRootNode, name);
  mount_.helper.LookUp(name, kLookUpMax);
}

void ForgottenNames::AwaitForgets() const {
  const auto deadline = std::chrono::steady_clock::now() + kForgetsMax;
  size_t known = workspace_->directories().size();
  for (int quiet = 0; known > kFewDirectories && quiet < kQuietPolls; ++quiet) {
    if (std::chrono::steady_clock::now() > deadline) return;
    std::this_thread::sleep_for(kForgetPoll);
    const size_t now = workspace_->directories().size();
    if (now < known) quiet = -1;
    known = now;
  }
}

void ForgottenNames::ExpireUsed(NodeId directory, const Live& live) {
  FileId id{.inode = live.volume->root_inode()};
  std::unique_ptr<DIR, DirCloser> stream;
  try {
    if (InodeOf(directory) != kRootInode) {
      id = {.inode = InodeOf(directory),
            .generation = workspace_->directories().GenerationOf(directory)};
    }
    UniqueFd fd = OpenDirectory(*live.volume, id, O_RDONLY);
    stream.reset(fdopendir(fd.get()));
    if (stream) static_cast<void>(fd.Release());  // the stream's now
  } catch (const Error&) {
    return;  // it has been removed: no name leads to it, or to what is in it
  }
  if (!stream) return;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of its own
  while (const dirent* const entry = readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    mount_.kernel.ExpireName(directory, name);
    if (expired_.size() < kRememberedMax) expired_.emplace_back(directory, name);
    if (directory == root_ && entry->d_type == DT_DIR && directories_.size() < kDirectoriesMax &&
        workspace_->directories().Contains(entry->d_ino)) {
      directories_.push_back(name);
    }
  }
}

void ForgottenNames::ExpireAgain() {
  std::vector<Name> names = workspace_->TakeMovedNames();
  names.insert(names.end(), std::make_move_iterator(expired_.begin()),
               std::make_move_iterator(expired_.end()));
  expired_.clear();
  // No walk leads to a root that was replaced; but whoever looks up in the new one a directory that was in
  // the old needs the old one's lock for a moment.
  if (workspace_->root_node() != root_) {
    std::erase_if(names, [this](const Name& name) { return name.first == root_; });
  }
  if (names.empty()) return;
  mount_.listings.Post([&kernel = mount_.kernel, names = std::move(names)] {
    for (const auto& [directory, name] : names) kernel.ExpireName(directory, name);
  });
}

}  // namespace ckptfs
