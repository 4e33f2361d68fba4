#include "tests/unit/catalog/store/store_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <regex>
#include <thread>

#include "backend/base/error.h"
#include "backend/base/time.h"
#include "catalog/sidecar/sidecar.h"
#include "tests/unit/catalog/store/whole_operations.h"

namespace ckptfs {
namespace {

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

void AgeSidecar(Store& store, const VolumeId& id) {
  constexpr int64_t kHourNs = int64_t{3600} * 1'000'000'000;
  const timespec then{.tv_sec = (NowNs() - kHourNs) / 1'000'000'000, .tv_nsec = 0};
  const std::array<timespec, 2> times = {then, then};
  const std::string name = id.str() + ".json";
  CheckSyscall(utimensat(store.backend().meta_fd(), name.c_str(), times.data(), 0),
               "age a sidecar");
}

void LayGarbage(Store& store, const VolumeId& id, bool with_volume) {
  const Backend& backend = store.backend();
  Sidecar sidecar;
  sidecar.volume = id;
  MetaDirectory(backend.meta_fd(), backend.capabilities().meta_needs_fsync).Create(sidecar);
  if (with_volume) store.backend().CreateEmpty(id);
  AgeSidecar(store, id);
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
      view.rows[name] = fmt::format("{}, {}, {}, {}, of {}, {}, {}", snapshot.message,
                                    snapshot.metadata, snapshot.pinned ? "pinned" : "-",
                                    NamesOf(snapshot.holds), WithoutTimes(snapshot.parent_name),
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
  store().AddTemplate("unused", "ext4", kTestTemplateBytes, {});
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
