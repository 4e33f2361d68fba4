// A control server on a real store, without a mount.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/base/error.h"
#include "backend/compare/diff_list.h"
#include "fs/control/control.h"
#include "fs/control/control_protocol.h"
#include "fs/control/control_wire.h"
#include "tests/unit/catalog/store/store_fixture.h"
#include "tests/unit/catalog/store/whole_operations.h"

namespace ckptfs {

// The verbs without a mount: their effect on a real store.
class StoreVerbs : public Verbs {
 public:
  explicit StoreVerbs(Store& store) : store_(store) {}

  Store& store() noexcept override { return store_; }
  const std::string& mountpoint() const noexcept override { return mountpoint_; }
  WorkspaceRecord CreateWorkspace(const std::string& name, const RootAttributes& root,
                                  const std::string& from) override {
    return store_.CreateWorkspace(name, root, from);
  }
  WorkspaceRecord CommitWorkspace(PendingWorkspace& pending) override { return pending.Commit(); }
  SnapshotRecord Checkpoint(int64_t workspace_id, const CheckpointRequest& request) override {
    if (before_checkpoint) before_checkpoint();
    return CheckpointWhole(store_, workspace_id, request);
  }
  void DeleteSnapshot(int64_t snapshot_id, bool force) override {
    store_.DeleteSnapshot(snapshot_id, force);
  }
  void SetPinned(int64_t snapshot_id, bool pinned) override {
    store_.SetPinned(snapshot_id, pinned);
  }
  void SetHold(int64_t snapshot_id, const std::string& tag, bool held) override {
    store_.SetHold(snapshot_id, tag, held);
  }
  void SetMessage(int64_t snapshot_id, const std::string& message) override {
    store_.SetMessage(snapshot_id, message);
  }
  void SetMetadata(int64_t snapshot_id, const Metadata& metadata) override {
    store_.SetMetadata(snapshot_id, metadata);
  }
  std::vector<std::string> RemoveUnprotected(int64_t snapshot_id) override {
    return store_.RemoveUnprotected(snapshot_id);
  }
  void SetSetting(std::optional<int64_t> workspace_id, const std::string& key,
                  const std::optional<std::string>& value) override {
    store_.SetSetting(workspace_id, key, value);
  }
  RolledBack RollbackInPlace(const RollbackRequest& request, bool force) override {
    if (busy && !force) throw Error(EBUSY, "roll back", "files are open for writing: pid 4711");
    return {RollBackWhole(store_, request), {}};
  }
  WorkspaceRecord Fork(int64_t snapshot_id, const std::string& name) override {
    return store_.Fork(snapshot_id, name);
  }
  uint64_t ForgetWorkspace(const ForgetRequest& request, WorkLimits& /*limits*/) override {
    return ForgetWhole(store_, request.workspace_id);
  }
  bool ChangedSinceParent(int64_t workspace_id, WorkLimits& limits) override {
    return ckptfs::ChangedSinceParent(store_, workspace_id, limits);
  }
  DiffList Diff(const DiffRequest& request, WorkLimits& limits) override {
    if (before_diff) before_diff(limits);
    return CompareWhole(store_, request, limits);
  }

  bool busy = false;
  std::function<void()> before_checkpoint;
  std::function<void(WorkLimits&)> before_diff;

 private:
  Store& store_;
  std::string mountpoint_ = "/mnt/ckpt";
};

// The outcome of a request.
struct Outcome {
  wire::Json result;
  wire::Json error;
  wire::Json items = wire::Json::array();
  int progress_lines = 0;

  int error_number() const { return error.is_null() ? 0 : error.at("errno").get<int>(); }
};

// Reads once, blocking.
inline std::string ReadPiece(ControlSession& session, size_t max_bytes) {
  std::promise<std::string> piece;
  session.Read(max_bytes, [&piece](std::string data) { piece.set_value(std::move(data)); });
  return piece.get_future().get();
}

inline Outcome ReadAnswer(ControlSession& session, size_t max_bytes = 4096) {
  std::string text;
  for (std::string piece; !(piece = ReadPiece(session, max_bytes)).empty();) {
    EXPECT_LE(piece.size(), max_bytes);
    text += piece;
  }
  Outcome outcome;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) {
      ADD_FAILURE() << "an unfinished line";
      break;
    }
    const wire::Json line = wire::Json::parse(text.substr(at, end - at));
    if (line.contains("items")) {
      for (const wire::Json& item : line["items"]) outcome.items.push_back(item);
    }
    if (line.contains("progress")) ++outcome.progress_lines;
    if (line.contains("result")) outcome.result = line["result"];
    if (line.contains("error")) outcome.error = line["error"];
    at = end + 1;
  }
  return outcome;
}

class ControlTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    Serve();
  }
  // Reopens the store.
  void Serve() {
    server_.reset();
    verbs_.reset();
    Reopen();
    verbs_ = std::make_unique<StoreVerbs>(store());
    server_ = ControlServer::Create(*verbs_);
  }
  void TearDown() override {
    server_.reset();
    verbs_.reset();
  }

  // The caller, through the control file of a workspace or (empty) of the mount root.
  ControlCaller Root(const std::string& workspace = "") {
    return {.pid = getpid(),
            .uid = 0,
            .gid = 0,
            .may_change = true,
            .workspace_id = ScopeOf(workspace)};
  }
  ControlCaller User(const std::string& workspace, bool may_change) {
    return {.pid = getpid(),
            .uid = 1000,
            .gid = 1000,
            .may_change = may_change,
            .workspace_id = ScopeOf(workspace)};
  }
  std::optional<int64_t> ScopeOf(const std::string& workspace) {
    if (workspace.empty()) return std::nullopt;
    return Workspace(workspace).id;
  }

  Outcome AskText(const ControlCaller& caller, const std::string& text) {
    const auto session = server_->Open(caller);
    for (size_t at = 0; at < text.size(); at += kMaxChunkBytes) {
      session->Append(std::string_view(text).substr(at, kMaxChunkBytes));
    }
    session->Run();
    return ReadAnswer(*session);
  }
  Outcome Ask(const ControlCaller& caller, const std::string& command,
              wire::Json args = wire::Json::object(),
              std::optional<std::string> workspace = std::nullopt) {
    wire::Json request{{"command", command}, {"args", std::move(args)}};
    if (workspace) request["workspace"] = *workspace;
    return AskText(caller, request.dump());
  }

  std::unique_ptr<StoreVerbs> verbs_;
  std::unique_ptr<ControlServer> server_;
};

}  // namespace ckptfs
