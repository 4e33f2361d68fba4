#include "tests/unit/catalog/store/store_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <regex>
#include <thread>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "tests/unit/backend/comparisons.h"
#include "tests/unit/catalog/store/whole_operations.h"

namespace ckptfs {
namespace {

constexpr char kStepVariable[] = "CKPTFS_TEST_STEP";
constexpr uint64_t kStepTemplateBytes = uint64_t{32} << 20;

SnapshotRecord Find(Store& store, const std::string& workspace, const std::string& name) {
  return store.rows().FindSnapshot(store.rows().FindWorkspace(workspace).value().id, name).value();
}

void Switch(Store& store, const std::string& workspace, const SnapshotRecord& to,
            ExchangeMode mode) {
  RollBackWhole(store, {.workspace_id = store.rows().FindWorkspace(workspace).value().id,
                        .snapshot_id = to.id,
                        .mode = mode});
}

// Two in a row, of a tree that changes, the second one described, and somebody has a file open for writing.
void CheckpointTwice(Store& store) {
  const WorkspaceRecord workspace = *store.rows().FindWorkspace("w");
  const auto checkpoint = [&](const CheckpointRequest& request) {
    const SnapshotRecord made = CheckpointWhole(store, workspace.id, request);
    store.NoteOpenWriters(made, {.named = {}, .total = 1});
  };
  checkpoint({.name = "new"});
  WriteFileAt(store.backend().Open(workspace.volume)->root_fd(), "f", "more");
  checkpoint({.name = "newer",
              .message = "why",
              .metadata = Metadata::Checked(R"({"n":1})"),
              .pinned = true});
  Failpoint("checkpoints.made");
}

// The operations that crash tests cut short, on a store as CrashTest makes it.
const std::map<std::string, std::function<void(Store&)>>& Steps() {
  static const std::map<std::string, std::function<void(Store&)>> steps = {
      {"open", [](Store&) {}},
      {"create",
       [](Store& store) {
         store.CreateWorkspace("new", {.mode = S_IFDIR | 0755, .uid = 0, .gid = 0, .acl = {}});
       }},
      {"import",
       [](Store& store) {
         const auto pending = store.BeginWorkspace("new");
         WriteFileAt(pending->volume().root_fd(), "f", "imported");
         pending->Commit();
       }},
      {"rename-workspace",
       [](Store& store) { store.RenameWorkspace(store.rows().FindWorkspace("w")->id, "new"); }},
      {"remove-workspace",
       [](Store& store) { RemoveWhole(store, store.rows().FindWorkspace("empty")->id); }},
      {"forget-workspace",
       [](Store& store) { ForgetWhole(store, store.rows().FindWorkspace("still")->id); }},
      {"checkpoint",
       [](Store& store) {
         CheckpointWhole(store, store.rows().FindWorkspace("w")->id, {.name = "new"});
       }},
      {"checkpoints", CheckpointTwice},
      {"checkpoints-fork",
       [](Store& store) {
         CheckpointTwice(store);
         store.Fork(Find(store, "w", "new").id, "forked");
       }},
      {"delete", [](Store& store) { store.DeleteSnapshot(Find(store, "w", "b").id, false); }},
      {"delete-and-reclaim",
       [](Store& store) {
         store.DeleteSnapshot(Find(store, "w", "b").id, false);
         AwaitReclaimed(store);
       }},
      {"add-template",
       [](Store& store) {
         store.AddTemplate("made", "ext4", kStepTemplateBytes,
                           [](int root_fd) { WriteFileAt(root_fd, "f", "of the template"); });
       }},
      {"flatten",
       [](Store& store) { store.AddTemplateFromSnapshot("flat", Find(store, "w", "a").id); }},
      {"remove-template", [](Store& store) { store.RemoveTemplate("unused"); }},
      {"edit", [](Store& store) { store.RenameSnapshot(Find(store, "w", "a").id, "new"); }},
      {"setting",
       [](Store& store) {
         store.SetSetting(store.rows().FindWorkspace("w")->id, "keep.daily", "7");
       }},
      {"setting-of-store",
       [](Store& store) { store.SetSetting(std::nullopt, "keep.within", "30d"); }},
      {"rollback",
       [](Store& store) {
         Switch(store, "w", Find(store, "w", "a"), ExchangeMode::kKeepSnapshot);
       }},
      {"rollback-unchanged",
       [](Store& store) {
         Switch(store, "still", Find(store, "still", "a"), ExchangeMode::kKeepSnapshot);
       }},
      {"rollback-read",
       [](Store& store) {
         TouchLive(store, "still");
         Switch(store, "still", Find(store, "still", "a"), ExchangeMode::kKeepSnapshot);
       }},
      {"exchange",
       [](Store& store) { Switch(store, "w", Find(store, "w", "a"), ExchangeMode::kExchange); }},
      {"promote",
       [](Store& store) {
         Switch(store, "w", Find(store, "still", "b"), ExchangeMode::kKeepSnapshot);
       }},
      {"fork", [](Store& store) { store.Fork(Find(store, "w", "a").id, "new"); }},
      {"diff",
       [](Store& store) {
         CompareWhole(store,
                      {.older_snapshot_id = Find(store, "w", "a").id,
                       .newer_snapshot_id = std::nullopt,
                       .workspace_id = store.rows().FindWorkspace("w")->id},
                      NoLimits());
       }},
  };
  return steps;
}

// Failpoints are read once a process, so a test of them needs one of its own: this same program,
// started again with the variable "STEP:PATH", does that step instead of any test.
class StepProcess : public testing::Environment {
 public:
  void SetUp() override {
    const char* variable = std::getenv(kStepVariable);  // NOLINT(concurrency-mt-unsafe): one thread
    if (variable == nullptr) return;
    try {
      const std::string text = variable;
      const size_t colon = text.find(':');
      const auto store = Store::Open(TestStoreOptions(text.substr(colon + 1)));
      store->Keep();
      Failpoint("step.begin");
      Steps().at(text.substr(0, colon))(*store);
    } catch (const std::exception& error) {
      std::cerr << "in the child: " << error.what() << '\n';
      _exit(1);
    }
    _exit(0);
  }
};
const testing::Environment* const kStepProcess =
    testing::AddGlobalTestEnvironment(new StepProcess);  // NOLINT: GoogleTest owns it

std::string WithoutTimes(const std::string& name) {
  static const std::regex time("[0-9]{8}T[0-9]{6}Z(-[0-9]+)?");
  return std::regex_replace(name, time, "T");
}

}  // namespace

void PrintTo(const StoreView& view, std::ostream* out) {
  for (const auto& [name, content] : view.live) *out << name << "=" << content << " ";
  *out << "| ";
  for (const auto& [name, content] : view.snapshots) *out << name << "=" << content << " ";
  *out << "| ";
  for (const auto& [name, facts] : view.rows) *out << name << " (" << facts << ") ";
}

std::string TestBackend() {
  const char* backend = std::getenv("CKPTFS_TEST_BACKEND");  // NOLINT(concurrency-mt-unsafe)
  return backend == nullptr ? "btrfs-loop" : backend;
}

std::string TestBackendMark() {
  return TestBackend() == "btrfs-loop" ? "volumes.img" : TestBackend() + ".json";
}

StoreOptions TestStoreOptions(const std::string& path) {
  StoreOptions options;
  options.path = path;
  options.backend = TestBackend() == "btrfs-loop" ? "auto" : TestBackend();
  options.backend_options.size_bytes.reset();
  return options;
}

void StoreTest::SetUp() {
  CKPTFS_SKIP_WITHOUT_LOOP_DEVICES();
  directory_ = std::make_unique<TestDirectory>();
}

StoreOptions StoreTest::Options() const { return TestStoreOptions(StorePath()); }

Store& StoreTest::Reopen(const StoreOptions& options) {
  store_.reset();
  store_ = Store::Open(options);
  store_->Keep();
  return *store_;
}

UniqueFd StoreTest::StoreFd() const {
  return UniqueFd(CheckSyscall(open(StorePath().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                               "open the store"));
}

WorkspaceRecord StoreTest::MakeWorkspace(const std::string& name, const std::string& content) {
  WorkspaceRecord workspace =
      store().CreateWorkspace(name, {.mode = S_IFDIR | 0755, .uid = 0, .gid = 0, .acl = {}});
  if (!content.empty()) Write(name, content);
  return workspace;
}

void WriteLive(Store& store, const std::string& workspace, const std::string& content) {
  const auto volume = store.backend().Open(store.rows().FindWorkspace(workspace).value().volume);
  WriteFileAt(volume->root_fd(), "f", content);
}

void TouchLive(Store& store, const std::string& workspace) {
  const auto volume = store.backend().Open(store.rows().FindWorkspace(workspace).value().volume);
  const std::array<timespec, 2> times = {timespec{.tv_sec = 1}, timespec{.tv_nsec = UTIME_OMIT}};
  CheckSyscall(utimensat(volume->root_fd(), "f", times.data(), 0), "set an access time");
}

std::string ReadVolume(Store& store, const VolumeId& volume) {
  const auto opened = store.backend().Open(volume);
  // To look must not be a change, as the access time of a file in a live tree would be.
  const UniqueFd file(openat(opened->root_fd(), "f", O_RDONLY | O_NOATIME | O_CLOEXEC));
  if (!file.valid()) return "-";
  std::array<char, 256> text{};
  const auto size = CheckSyscall(read(file.get(), text.data(), text.size()), "read f");
  return {text.data(), static_cast<size_t>(size)};
}

void StoreTest::Write(const std::string& workspace, const std::string& content) {
  WriteLive(store(), workspace, content);
}

SnapshotRecord StoreTest::Checkpoint(const std::string& workspace, const std::string& name) {
  return CheckpointWhole(store(), Workspace(workspace).id, {.name = name, .message = "m " + name});
}

WorkspaceRecord StoreTest::Workspace(const std::string& name) {
  return store().rows().FindWorkspace(name).value();
}

SnapshotRecord StoreTest::Snapshot(const std::string& workspace, const std::string& name) {
  return store().rows().FindSnapshot(Workspace(workspace).id, name).value();
}

std::string StoreTest::Read(const VolumeId& volume) { return ReadVolume(store(), volume); }

RollbackResult StoreTest::Rollback(const std::string& workspace, const SnapshotRecord& to,
                                   ExchangeMode mode) {
  return RollBackWhole(
      store(), {.workspace_id = Workspace(workspace).id, .snapshot_id = to.id, .mode = mode});
}

namespace {

std::string SettingsText(Store& store, std::optional<int64_t> workspace_id) {
  std::string text;
  for (const auto& [key, value] : store.rows().SettingsOf(workspace_id)) {
    text += fmt::format("{}={} ", key, value);
  }
  return text;
}

}  // namespace

StoreView Look(Store& store) {
  StoreView view;
  view.rows["settings"] = SettingsText(store, std::nullopt);
  for (const WorkspaceRecord& workspace : store.rows().ListWorkspaces()) {
    view.live[workspace.name] = ReadVolume(store, workspace.volume);
    view.rows[workspace.name] = SettingsText(store, workspace.id);
    for (const SnapshotRecord& snapshot : store.rows().ListSnapshots(workspace.id)) {
      const std::string name = workspace.name + "/" + WithoutTimes(snapshot.name);
      view.snapshots[name] = ReadVolume(store, snapshot.volume);
      view.rows[name] =
          fmt::format("{}, {}, {}, of {}, {}, {}", snapshot.message, snapshot.metadata,
                      snapshot.pinned ? "pinned" : "-", WithoutTimes(snapshot.parent_name),
                      ToString(snapshot.moment), snapshot.moment_reason);
    }
  }
  return view;
}

void AwaitReclaimed(Store& store) {
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries && store.backend().PendingDestroys() > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(store.backend().PendingDestroys(), 0U);
}

std::set<std::string> SidecarVolumes(Store& store) {
  std::set<std::string> names;
  const UniqueFd meta(CheckSyscall(
      openat(store.backend().meta_fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open meta"));
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(dup(meta.get())), &closedir);
  while (const dirent* entry = readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == ".." || name == "store.json") continue;
    names.insert(name.ends_with(".json") ? name.substr(0, name.size() - 5) : name);
  }
  return names;
}

void StoreTest::FillForSteps() {
  MakeWorkspace("w", "1");
  Checkpoint("w", "a");
  Write("w", "2");
  Checkpoint("w", "b");
  Write("w", "3");
  MakeWorkspace("still", "4");
  Checkpoint("still", "a");
  Write("still", "5");
  Checkpoint("still", "b");
  MakeWorkspace("empty");
  if (store().backend().templates() == nullptr) return;
  store().AddTemplate("unused", "ext4", kStepTemplateBytes, {});
}

// Those that a store has: MetaDirectory keeps its generation so.
static void CopyXattrs(const std::string& from, const std::string& to) {
  std::array<char, 4096> names{};
  const ssize_t length = listxattr(from.c_str(), names.data(), names.size());
  for (const char* name = names.data(); name < names.data() + length; name += strlen(name) + 1) {
    std::array<char, 4096> value{};
    const ssize_t size = getxattr(from.c_str(), name, value.data(), value.size());
    ASSERT_GE(size, 0) << name;
    ASSERT_EQ(setxattr(to.c_str(), name, value.data(), static_cast<size_t>(size), 0), 0) << name;
  }
}

void StoreTest::CopyStore(const std::string& from, const std::string& to) {
  std::filesystem::remove_all(to);
  std::filesystem::create_directory(to);
  std::filesystem::recursive_directory_iterator entries(from);
  for (const auto& entry : entries) {
    const std::string copy = to + "/" + entry.path().lexically_relative(from).string();
    if (entry.is_directory()) {
      std::filesystem::create_directory(copy);
      CopyXattrs(entry.path(), copy);
    } else {
      CopySparse(entry.path(), copy);
    }
  }
}

void StoreTest::ExpectSound() {
  EXPECT_THAT(store().Fsck(false).problems, testing::IsEmpty());
  std::set<std::string> owned;
  for (const WorkspaceRecord& workspace : store().rows().ListWorkspaces()) {
    owned.insert(workspace.volume.str());
    for (const SnapshotRecord& snapshot : store().rows().ListSnapshots(workspace.id)) {
      owned.insert(snapshot.volume.str());
    }
  }
  std::set<std::string> there;
  for (const VolumeListing& volume : store().backend().List()) there.insert(volume.id.str());
  EXPECT_EQ(there, owned);
  EXPECT_EQ(SidecarVolumes(store()), owned);
}

pid_t StartStep(const std::string& name, const std::string& path, const std::string& failpoint,
                const std::string& trace) {
  const std::string step = std::string(kStepVariable) + "=" + name + ":" + path;
  const std::string point = "CKPTFS_FAILPOINT=" + failpoint;
  const std::string search = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  const pid_t child = CheckSyscall(fork(), "fork");
  const auto pass_on = [](const char* variable) {
    const char* value = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe)
    return std::string(variable) + "=" + (value == nullptr ? "" : value);
  };
  const std::string libraries = pass_on("LD_LIBRARY_PATH");
  const std::string no_udev = pass_on("DM_DISABLE_UDEV");
  const std::string backend = "CKPTFS_TEST_BACKEND=" + TestBackend();
  const std::string traced = "CKPTFS_FAILPOINT_TRACE=" + trace;
  std::vector<const char*> environment = {step.c_str(), search.c_str(), backend.c_str(),
                                          libraries.c_str(), no_udev.c_str()};
  environment.push_back("CKPTFS_TESTING=may-kill-the-daemon");
  if (!failpoint.empty()) environment.push_back(point.c_str());
  if (!trace.empty()) environment.push_back(traced.c_str());
  environment.push_back(nullptr);
  if (child == 0) {
    execle("/proc/self/exe", "step", "--gtest_brief=1", nullptr, environment.data());
    _exit(2);
  }
  return child;
}

StepEnd RunStep(const std::string& name, const std::string& path, const std::string& failpoint,
                const std::string& trace) {
  int status = 0;
  CheckSyscall(waitpid(StartStep(name, path, failpoint, trace), &status, 0), "wait for the step");
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return StepEnd::kKilled;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? StepEnd::kDone : StepEnd::kFailed;
}

int StoreTest::ErrnoOf(const std::function<void()>& action) {
  try {
    action();
    return 0;
  } catch (const Error& error) {
    return error.errno_value();
  }
}

std::string StoreTest::MessageOf(const std::function<void()>& action) {
  try {
    action();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace ckptfs
