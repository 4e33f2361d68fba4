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

// What of a store a test can see from outside: names and contents.
struct StoreView {
  // Workspace to the content of its file "f" ("-": there is none).
  std::map<std::string, std::string> live;
  // "workspace/snapshot" likewise; the time in a generated name is replaced by T.
  std::map<std::string, std::string> snapshots;
  std::map<std::string, std::string> rows;  // what else the catalog says of them
  bool operator==(const StoreView&) const = default;
};
void PrintTo(const StoreView& view, std::ostream* out);

class StoreTest : public testing::Test {
 protected:
  void SetUp() override;

  StoreOptions Options() const;
  // Closes the store that is open, and opens it again.
  Store& Reopen() { return Reopen(Options()); }
  Store& Reopen(const StoreOptions& options);
  void Close() { store_.reset(); }
  Store& store() { return *store_; }
  std::string StorePath() const { return directory_->Path("store"); }
  // The store's directory, for damage.
  UniqueFd StoreFd() const;

  WorkspaceRecord MakeWorkspace(const std::string& name, const std::string& content = "");
  // The content of file "f" in the live tree.
  void Write(const std::string& workspace, const std::string& content);
  SnapshotRecord Checkpoint(const std::string& workspace, const std::string& name);
  WorkspaceRecord Workspace(const std::string& name);
  SnapshotRecord Snapshot(const std::string& workspace, const std::string& name);
  std::string Read(const VolumeId& volume);
  RollbackResult Rollback(const std::string& workspace, const SnapshotRecord& to,
                          ExchangeMode mode = ExchangeMode::kKeepSnapshot);

  // What RunStep works on: w (changed since b) with a and b; still (equal to b) with a and b; empty.
  void FillForSteps();
  // Copies the files of a store that nobody has open, or that stands still.
  static void CopyStore(const std::string& from, const std::string& to);

  // No problem, no volume without a row, and no sidecar of nothing.
  void ExpectSound();
  // What Error `action` throws; 0 if none.
  static int ErrnoOf(const std::function<void()>& action);
  static std::string MessageOf(const std::function<void()>& action);

  std::unique_ptr<TestDirectory> directory_;
  std::unique_ptr<Store> store_;
};

// Of the backend that the environment variable CKPTFS_TEST_BACKEND names; "auto" if it does not.
StoreOptions TestStoreOptions(const std::string& path);
// The backend that a store with these options has, and the file by which it is known as such.
std::string TestBackend();
std::string TestBackendMark();
inline constexpr uint64_t kTestTemplateBytes = uint64_t{32} << 20;
StoreView Look(Store& store);
void WriteLive(Store& store, const std::string& workspace, const std::string& content);
// Changes the access time of that file, as who reads it does.
void TouchLive(Store& store, const std::string& workspace);
std::string ReadVolume(Store& store, const VolumeId& volume);
std::set<std::string> SidecarVolumes(Store& store);

// Waits until the backend has given back what destroyed volumes had.
void AwaitReclaimed(Store& store);

}  // namespace ckptfs
