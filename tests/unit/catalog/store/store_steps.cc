#include "tests/unit/catalog/store/store_steps.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "tests/unit/backend/comparisons.h"
#include "tests/unit/catalog/store/store_fixture.h"
#include "tests/unit/catalog/store/whole_operations.h"

namespace ckptfs {
namespace {

constexpr char kStepVariable[] = "CKPTFS_TEST_STEP";

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

// Of a volume that a comparison has left, and of a sidecar without one.
void Collect(Store& store) {
  LayGarbage(store, VolumeId::Generate(), /*with_volume=*/true);
  LayGarbage(store, VolumeId::Generate(), /*with_volume=*/false);
  const GarbageTotal total = store.CollectGarbage({});
  if (total.removed + total.failed != 2)
    throw Error(EUCLEAN, "collect garbage", "not all was seen");
}

// The operations that crash tests cut short, on a store as FillForSteps makes it. First those that make or change
// one thing.
using Steps = std::map<std::string, std::function<void(Store&)>>;

const Steps& StepsOfOne() {
  static const Steps steps = {
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
         store.AddTemplate("made", "ext4", kTestTemplateBytes,
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
      {"gc", Collect},
      {"setting-of-store",
       [](Store& store) { store.SetSetting(std::nullopt, "keep.within", "30d"); }},
  };
  return steps;
}

// Those of two states.
const Steps& StepsOfTwo() {
  static const Steps steps = {
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

const std::function<void(Store&)>& StepOf(const std::string& name) {
  const auto step = StepsOfOne().find(name);
  return step != StepsOfOne().end() ? step->second : StepsOfTwo().at(name);
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
      StepOf(text.substr(0, colon))(*store);
    } catch (const std::exception& error) {
      std::cerr << "in the child: " << error.what() << '\n';
      _exit(1);
    }
    _exit(0);
  }
};
const testing::Environment* const kStepProcess =
    testing::AddGlobalTestEnvironment(new StepProcess);  // NOLINT: GoogleTest owns it

}  // namespace

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

}  // namespace ckptfs
