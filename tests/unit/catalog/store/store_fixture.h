// A store on a real loop image, for tests of everything above the backend.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "catalog/store/store.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {

// The externally visible state of a store: names and contents.
struct StoreView {
  // From workspace to the content of its file "f" ("-": no file).
  std::map<std::string, std::string> live;
  // From "workspace/snapshot" likewise; the time in a generated name is replaced by T.
  std::map<std::string, std::string> snapshots;
  std::map<std::string, std::string> rows;  // the rest of what the catalog says about them
  bool operator==(const StoreView&) const = default;
};
void PrintTo(const StoreView& view, std::ostream* out);

class StoreTest : public testing::Test {
 protected:
  void SetUp() override;

  StoreOptions Options() const;
  // Closes the open store and reopens it.
  Store& Reopen() { return Reopen(Options()); }
  Store& Reopen(const StoreOptions& options);
  void Close() { store_.reset(); }
  Store& store() { return *store_; }
  std::string StorePath() const { return directory_->Path("store"); }
  // The store's directory, for damaging it.
  UniqueFd StoreFd() const;

  WorkspaceRecord MakeWorkspace(const std::string& name, const std::string& content = "");
  // Writes the content of file "f" in the live tree.
  void Write(const std::string& workspace, const std::string& content);
  SnapshotRecord Checkpoint(const std::string& workspace, const std::string& name);
  WorkspaceRecord Workspace(const std::string& name);
  SnapshotRecord Snapshot(const std::string& workspace, const std::string& name);
  std::string Read(const VolumeId& volume);
  RollbackResult Rollback(const std::string& workspace, const SnapshotRecord& to,
                          ExchangeMode mode = ExchangeMode::kKeepSnapshot);

  // The state in which RunStep starts: w (changed since b) with a and b; still (equal to b) with a and b;
  // empty.
  void FillForSteps();
  // Copies the files of a store that is not open or not changing.
  static void CopyStore(const std::string& from, const std::string& to);

  // Checks that there are no problems, no volume without a row, and no sidecar without a volume or owner.
  void ExpectSound();
  // The errno of the Error that `action` throws; 0 if none.
  static int ErrnoOf(const std::function<void()>& action);
  static std::string MessageOf(const std::function<void()>& action);

  std::unique_ptr<TestDirectory> directory_;
  std::unique_ptr<Store> store_;
};

// For the backend in the environment variable CKPTFS_TEST_BACKEND; "auto" if it is unset.
StoreOptions TestStoreOptions(const std::string& path);
// The backend that a store with these options gets, and the file that identifies it.
std::string TestBackend();
std::string TestBackendMark();
inline constexpr uint64_t kTestTemplateBytes = uint64_t{32} << 20;
StoreView Look(Store& store);
void WriteLive(Store& store, const std::string& workspace, const std::string& content);
// Changes the access time of that file, as reading it does.
void TouchLive(Store& store, const std::string& workspace);
std::string ReadVolume(Store& store, const VolumeId& volume);
std::set<std::string> SidecarVolumes(Store& store);

// Lays down what a comparison would leave whose end failed, as if an hour ago: a sidecar, and its volume.
void LayGarbage(Store& store, const VolumeId& id, bool with_volume);
// Makes the sidecar of that volume look as old.
void AgeSidecar(Store& store, const VolumeId& id);

// Waits until the backend has freed the space of destroyed volumes.
void AwaitReclaimed(Store& store);

}  // namespace ckptfs
