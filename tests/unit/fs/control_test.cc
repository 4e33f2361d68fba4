#include "fs/control.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <latch>
#include <thread>

#include "backend/base/error.h"
#include "catalog/names.h"
#include "fs/control_protocol.h"
#include "fs/control_requests.h"
#include "fs/control_wire.h"
#include "tests/unit/catalog/store_fixture.h"

namespace ckptfs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using wire::Json;

// The verbs without a mount: what they mean for the store, on a real one.
class StoreVerbs : public Verbs {
 public:
  explicit StoreVerbs(Store& store) : store_(store) {}

  Store& store() noexcept override { return store_; }
  const std::string& mountpoint() const noexcept override { return mountpoint_; }
  WorkspaceRecord CreateWorkspace(const std::string& name, const RootAttributes& root,
                                  const std::string& from) override {
    return store_.CreateWorkspace(name, root, from);
  }
  WorkspaceRecord CommitWorkspace(Store::PendingWorkspace& pending) override {
    return pending.Commit();
  }
  SnapshotRecord Checkpoint(int64_t workspace_id, const CheckpointRequest& request) override {
    if (before_checkpoint) before_checkpoint();
    return store_.Checkpoint(workspace_id, request, {});
  }
  void DeleteSnapshot(int64_t snapshot_id, bool force) override {
    store_.DeleteSnapshot(snapshot_id, force);
  }
  void SetPinned(int64_t snapshot_id, bool pinned) override {
    store_.SetPinned(snapshot_id, pinned);
  }
  void SetMessage(int64_t snapshot_id, const std::string& message) override {
    store_.SetMessage(snapshot_id, message);
  }
  void SetMetadata(int64_t snapshot_id, const std::string& json) override {
    store_.SetMetadata(snapshot_id, json);
  }
  RollbackResult RollbackInPlace(const RollbackRequest& request, bool force) override {
    if (!writers.empty() && !force) throw Error(EBUSY, "roll back");
    return store_.Rollback(request, {}, {});
  }
  WorkspaceRecord Fork(int64_t snapshot_id, const std::string& name) override {
    return store_.Fork(snapshot_id, name);
  }
  std::vector<OpenWriter> OpenWriters(int64_t /*workspace_id*/) override { return writers; }
  bool ChangedSinceParent(int64_t workspace_id) override {
    return store_.ChangedSinceParent(workspace_id);
  }
  std::vector<Change> Diff(int64_t older_snapshot_id, std::optional<int64_t> newer_snapshot_id,
                           int64_t workspace_id) override {
    return store_.Diff(older_snapshot_id, newer_snapshot_id, workspace_id, {});
  }

  std::vector<OpenWriter> writers;
  std::function<void()> before_checkpoint;

 private:
  Store& store_;
  std::string mountpoint_ = "/mnt/ckpt";
};

// What came back for a request.
struct Outcome {
  Json result;
  Json error;
  Json items = Json::array();
  int progress_lines = 0;

  int error_number() const { return error.is_null() ? 0 : error.at("errno").get<int>(); }
};

// Reads once, waiting for it.
std::string ReadPiece(ControlSession& session, size_t max_bytes) {
  std::promise<std::string> piece;
  session.Read(max_bytes, [&piece](std::string data) { piece.set_value(std::move(data)); });
  return piece.get_future().get();
}

Outcome ReadAnswer(ControlSession& session, size_t max_bytes = 4096) {
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
    const Json line = Json::parse(text.substr(at, end - at));
    if (line.contains("items")) {
      for (const Json& item : line["items"]) outcome.items.push_back(item);
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
    Reopen();
    verbs_ = std::make_unique<StoreVerbs>(store());
    server_ = ControlServer::Create(*verbs_);
  }
  void TearDown() override {
    server_.reset();
    verbs_.reset();
  }

  // Who asks, through the control file of a workspace or (empty) of the mount root.
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
  Outcome Ask(const ControlCaller& caller, const std::string& command, Json args = Json::object(),
              std::optional<std::string> workspace = std::nullopt) {
    Json request{{"command", command}, {"args", std::move(args)}};
    if (workspace) request["workspace"] = *workspace;
    return AskText(caller, request.dump());
  }

  std::unique_ptr<StoreVerbs> verbs_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlTest, SaysWhereItIs) {
  MakeWorkspace("w");
  const Outcome mount = Ask(Root(), "hello");
  EXPECT_EQ(mount.result["scope"], "mount");
  EXPECT_TRUE(mount.result["workspace"].is_null());
  EXPECT_EQ(mount.result["mountpoint"], "/mnt/ckpt");
  const Outcome scoped = Ask(User("w", false), "hello");
  EXPECT_EQ(scoped.result["scope"], "workspace");
  EXPECT_EQ(scoped.result["workspace"], "w");
}

TEST_F(ControlTest, BadRequestsAreAnswersThatSayWhatIsWrong) {
  MakeWorkspace("w");
  for (const char* text :
       {"", "{", "[]", "null", "{}", R"({"command": 7})", R"({"command": "list", "args": []})",
        R"({"command": "list", "workspace": {"bytes": [256]}})",
        R"({"command": "show", "args": {}})", R"({"command": "show", "args": {"snapshot": 7}})",
        R"({"command": "rollback", "args": {"newest": -1}})",
        R"({"command": "rollback", "args": {"newest": 0}})",
        R"({"command": "delete", "args": {"snapshot": "a", "force": 1}})"}) {
    const Outcome outcome = AskText(Root("w"), text);
    // The snapshot "a" is looked for first.
    const int expected = std::string(text).find("force") == std::string::npos ? EINVAL : ENOENT;
    EXPECT_EQ(outcome.error_number(), expected) << text << " " << outcome.error;
    EXPECT_FALSE(outcome.error.value("why", "").empty()) << text;
  }
  EXPECT_EQ(Ask(Root(), "gc").error_number(), ENOSYS);
  // Printing JSON this deep would take the stack away.
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  EXPECT_EQ(
      AskText(Root("w"), R"({"command": "list", "args": {"x": )" + deep + "}}").error_number(),
      EINVAL);
  EXPECT_EQ(Ask(Root("w"), "checkpoint", {{"metadata", R"({"x": )" + deep + "}"}}).error_number(),
            EINVAL);
}

TEST_F(ControlTest, ADescriptorTakesOneRequestOfBoundedSize) {
  const auto session = server_->Open(Root());
  EXPECT_EQ(ReadPiece(*session, 100), "") << "nothing was run: nothing to wait for";
  session->Append(std::string(kMaxRequestBytes, ' '));
  EXPECT_EQ(ErrnoOf([&] { session->Append("x"); }), EFBIG);
  session->Run();
  EXPECT_EQ(ErrnoOf([&] { session->Run(); }), EALREADY);
  EXPECT_EQ(ErrnoOf([&] { session->Append("x"); }), EALREADY);
  EXPECT_EQ(ReadAnswer(*session).error_number(), EINVAL);
  EXPECT_EQ(ReadPiece(*session, 100), "");
}

TEST_F(ControlTest, AnswersComeInPiecesOfAnySize) {
  MakeWorkspace("w");
  const auto session = server_->Open(Root("w"));
  session->Append(R"({"command":)");
  session->Append(R"("hello"})");
  session->Run();
  EXPECT_EQ(ReadAnswer(*session, 1).result["workspace"], "w");
}

TEST_F(ControlTest, CheckpointsListsAndShows) {
  MakeWorkspace("w", "1");
  const Outcome made =
      Ask(User("w", true), "checkpoint",
          {{"name", "one"}, {"message", "first"}, {"metadata", R"({"k": [1]})"}, {"pinned", true}});
  EXPECT_EQ(made.result["name"], "one") << made.error;
  Write("w", "2");
  const Outcome unnamed = Ask(User("w", true), "checkpoint");
  EXPECT_THAT(unnamed.result["name"].get<std::string>(), HasSubstr("ckpt-"));

  const Outcome list = Ask(User("w", false), "list");
  ASSERT_EQ(list.items.size(), 2U);
  const Json& one = list.items[0];
  EXPECT_EQ(one["workspace"], "w");
  EXPECT_EQ(one["name"], "one");
  EXPECT_EQ(one["message"], "first");
  EXPECT_EQ(one["metadata"], Json::parse(R"({"k": [1]})"));
  EXPECT_EQ(one["pinned"], true);
  EXPECT_EQ(one["missing"], false);
  EXPECT_TRUE(one["parent"].is_null());
  EXPECT_EQ(one["kind"], "manual");
  EXPECT_EQ(one["unlinked_open"], 0);
  EXPECT_TRUE(one.contains("id"));
  EXPECT_TRUE(one.contains("created"));
  EXPECT_EQ(list.items[1]["parent"], "one");

  const Outcome show = Ask(User("w", false), "show", {{"snapshot", "latest"}});
  EXPECT_EQ(show.result["name"], unnamed.result["name"]);
  EXPECT_EQ(show.result["state"], "ok");
  EXPECT_TRUE(show.result["exclusive_bytes"].is_number_unsigned());
}

TEST_F(ControlTest, CheckpointIfChangedDoesNothingWithoutAChange) {
  MakeWorkspace("w", "1");
  EXPECT_EQ(Ask(Root("w"), "checkpoint", {{"name", "a"}, {"if_changed", true}}).result["name"],
            "a");
  const Outcome same = Ask(Root("w"), "checkpoint", {{"if_changed", true}});
  EXPECT_EQ(same.result["unchanged_since"], "a") << same.error;
  EXPECT_EQ(store().CountSnapshots(Workspace("w").id), 1U);
  Write("w", "2");
  EXPECT_EQ(Ask(Root("w"), "checkpoint", {{"name", "b"}, {"if_changed", true}}).result["name"],
            "b");
}

TEST_F(ControlTest, ErrorsOfVerbsComeWithTheirErrno) {
  MakeWorkspace("w", "1");
  Checkpoint("w", "a");
  EXPECT_EQ(Ask(Root("w"), "checkpoint", {{"name", "a"}}).error_number(), EEXIST);
  EXPECT_EQ(Ask(Root("w"), "checkpoint", {{"name", ""}}).error_number(), EINVAL);
  EXPECT_EQ(Ask(Root("w"), "checkpoint", {{"name", "../b"}}).error_number(), EINVAL);
  EXPECT_EQ(Ask(Root("w"), "checkpoint", {{"metadata", "[]"}}).error_number(), EINVAL);
  EXPECT_EQ(Ask(Root("w"), "show", {{"snapshot", "b"}}).error_number(), ENOENT);
  EXPECT_EQ(Ask(Root("w"), "fork", {{"snapshot", "a"}, {"name", "w"}}).error_number(), EEXIST);
  EXPECT_EQ(Ask(Root("w"), "delete", {{"snapshot", "latest"}}).error_number(), EINVAL);
  Ask(Root("w"), "pin", {{"snapshot", "a"}, {"pinned", true}});
  EXPECT_EQ(Ask(Root("w"), "delete", {{"snapshot", "a"}}).error_number(), EBUSY);
  Ask(Root("w"), "pin", {{"snapshot", "a"}, {"pinned", false}});
  EXPECT_EQ(Ask(Root("w"), "delete", {{"snapshot", "a"}}).error_number(), 0);
}

TEST_F(ControlTest, ADescriptorForReadingChangesNothing) {
  MakeWorkspace("w", "1");
  Checkpoint("w", "a");
  const ControlCaller reader = User("w", false);
  const std::vector<std::pair<std::string, Json>> changes = {
      {"checkpoint", Json::object()},
      {"rollback", {{"snapshot", "a"}}},
      {"fork", {{"snapshot", "a"}, {"name", "new"}}},
      {"delete", {{"snapshot", "a"}}},
      {"pin", {{"snapshot", "a"}, {"pinned", true}}},
      {"sync", Json::object()}};
  for (const auto& [command, args] : changes) {
    EXPECT_EQ(Ask(reader, command, args).error_number(), EACCES) << command;
  }
  // Not through the mount root either.
  const ControlCaller of_mount = User("", false);
  EXPECT_EQ(Ask(of_mount, "fsck", {{"repair", true}}).error_number(), EACCES);
  EXPECT_EQ(store().ListWorkspaces().size(), 1U);
  EXPECT_EQ(store().CountSnapshots(Workspace("w").id), 1U);
  EXPECT_FALSE(Snapshot("w", "a").pinned);
}

TEST_F(ControlTest, AScopeEndsAtItsWorkspace) {
  MakeWorkspace("w", "1");
  MakeWorkspace("other", "2");
  Checkpoint("other", "a");
  EXPECT_EQ(Ask(Root("w"), "list", Json::object(), "other").error_number(), EPERM);
  EXPECT_EQ(Ask(Root("w"), "delete", {{"snapshot", "a"}}, "other").error_number(), EPERM);
  EXPECT_EQ(Ask(Root("w"), "delete", {{"snapshot", "a"}}).error_number(), ENOENT);
  EXPECT_EQ(Ask(Root("w"), "fsck").error_number(), EPERM);
  const Outcome status = Ask(Root("w"), "status");
  ASSERT_EQ(status.result["workspaces"].size(), 1U);
  EXPECT_EQ(status.result["workspaces"][0]["name"], "w");
  // Through the mount root only root may name a workspace: nobody asked its own permissions.
  EXPECT_EQ(Ask(User("", true), "list", Json::object(), "other").error_number(), EACCES);
  EXPECT_EQ(Ask(Root(), "list", Json::object(), "other").items.size(), 1U);
  EXPECT_EQ(Ask(Root(), "list", Json::object(), "nosuch").error_number(), ENOENT);
}

TEST_F(ControlTest, RollsBackByNameAndByNumber) {
  MakeWorkspace("w", "1");
  Checkpoint("w", "a");
  Write("w", "2");
  Checkpoint("w", "b");
  Write("w", "3");
  const Outcome by_number = Ask(Root("w"), "rollback", {{"newest", 2U}});
  EXPECT_EQ(by_number.result["snapshot"], "a") << by_number.error;
  EXPECT_THAT(by_number.result["kept"].get<std::string>(), HasSubstr("pre-rollback-"));
  EXPECT_EQ(Read(Workspace("w").volume), "1");
  // The state kept does not count.
  EXPECT_EQ(Ask(Root("w"), "rollback", {{"newest", 1U}}).result["snapshot"], "b");
  EXPECT_EQ(Read(Workspace("w").volume), "2");
  EXPECT_EQ(Ask(Root("w"), "rollback", {{"newest", 3U}}).error_number(), ENOENT);
}

TEST_F(ControlTest, NamesWhoHoldFilesOpenOnOneLine) {
  MakeWorkspace("w", "1");
  Checkpoint("w", "a");
  verbs_->writers = {{.pid = 4711, .command = "vim", .path = "src/main.c"},
                     {.pid = 4712, .command = "", .path = ""}};
  const Outcome busy = Ask(Root("w"), "rollback", {{"snapshot", "a"}});
  EXPECT_EQ(busy.error_number(), EBUSY);
  EXPECT_THAT(busy.error["why"].get<std::string>(),
              HasSubstr("pid 4711 (vim) has src/main.c, pid 4712"));
  EXPECT_EQ(Ask(Root("w"), "rollback", {{"snapshot", "a"}, {"force", true}}).error_number(), 0);
}

TEST_F(ControlTest, ShowsChangesBothWays) {
  MakeWorkspace("w", "1");
  const UniqueFd root(dup(store().backend().Open(Workspace("w").volume)->root_fd()));
  WriteFileAt(root.get(), "gone", "g");
  WriteFileAt(root.get(), "bad\xff", "b");
  Checkpoint("w", "a");
  Write("w", "2");
  WriteFileAt(root.get(), "new", "n");
  ASSERT_EQ(unlinkat(root.get(), "gone", 0), 0);
  ASSERT_EQ(renameat(root.get(), "bad\xff", root.get(), "good"), 0);
  const auto lines = [](const Outcome& outcome) {
    std::vector<std::string> all;
    for (const Json& item : outcome.items) {
      std::string line = item["kind"].get<std::string>() + " " + item["path"].dump();
      if (item.contains("old_path")) line += " from " + item["old_path"].dump();
      all.push_back(line);
    }
    return all;
  };
  const std::string bytes = R"({"bytes":[98,97,100,255]})";
  EXPECT_THAT(lines(Ask(Root("w"), "diff", {{"from", "a"}})),
              ::testing::UnorderedElementsAre("added \"new\"", "modified \"f\"", "removed \"gone\"",
                                              "renamed \"good\" from " + bytes));
  const Outcome preview = Ask(Root("w"), "preview", {{"snapshot", "a"}});
  EXPECT_EQ(preview.result["snapshot"], "a");
  EXPECT_THAT(lines(preview),
              ::testing::UnorderedElementsAre("removed \"new\"", "modified \"f\"", "added \"gone\"",
                                              "renamed " + bytes + " from \"good\""));
  Checkpoint("w", "b");
  EXPECT_EQ(Ask(Root("w"), "diff", {{"from", "a"}, {"to", "b"}}).items.size(), 4U);
  EXPECT_EQ(Ask(Root("w"), "diff", {{"from", "b"}, {"to", kLiveName}}).items.size(), 0U);
}

TEST_F(ControlTest, InvertsChangesUnderRenamedDirectories) {
  const std::vector<Change> changes = {
      {.kind = ChangeKind::kRenamed, .path = "new", .old_path = "old"},
      {.kind = ChangeKind::kModified, .path = "new/file", .old_path = ""},
      {.kind = ChangeKind::kRenamed, .path = "new/sub", .old_path = "old/was"},
      {.kind = ChangeKind::kModified, .path = "new/sub/x", .old_path = ""},
      {.kind = ChangeKind::kModified, .path = "newer", .old_path = ""}};
  std::vector<std::string> paths;
  for (const Change& change : control::Inverted(changes)) {
    paths.push_back(change.old_path + ">" + change.path);
  }
  EXPECT_THAT(paths,
              ElementsAre(">newer", "new>old", ">old/file", "new/sub>old/was", ">old/was/x"));
}

TEST_F(ControlTest, StatusDfAndFsck) {
  MakeWorkspace("w", "1");
  Checkpoint("w", "a");
  const Outcome status = Ask(User("", false), "status");
  EXPECT_EQ(status.result["version"], CKPTFS_VERSION);
  EXPECT_EQ(status.result["source"], StorePath());
  EXPECT_EQ(status.result["mountpoint"], "/mnt/ckpt");
  EXPECT_EQ(status.result["backend"]["type"], TestBackend());
  EXPECT_TRUE(status.result["backend"].contains("selection"));
  EXPECT_TRUE(status.result["backend"].contains("selected_at"));
  EXPECT_TRUE(status.result["clean_start"].get<bool>());
  EXPECT_EQ(status.result["workspaces"][0]["snapshots"], 1);
  EXPECT_GT(status.result["fs_total_bytes"], status.result["fs_used_bytes"]);
  const Outcome df = Ask(Root("w"), "df", {{"usage", true}});
  EXPECT_EQ(df.result["workspaces"][0]["usage"][0]["name"], "a");
  const Outcome fsck = Ask(Root(), "fsck", {{"repair", true}});
  EXPECT_THAT(fsck.result["problems"], IsEmpty()) << fsck.error;
}

class ControlImportTest : public ControlTest {
 protected:
  Json Args(int fd, const std::string& name = "taken") {
    struct stat info {};
    EXPECT_EQ(fstat(fd, &info), 0);
    return {{"name", name},
            {"fd", static_cast<uint64_t>(fd)},
            {"device", uint64_t{info.st_dev}},
            {"inode", uint64_t{info.st_ino}}};
  }
};

TEST_F(ControlImportTest, TakesInADirectoryOfTheCaller) {
  const TestDirectory source;
  WriteFileAt(source.fd(), "f", "content");
  const Outcome taken = Ask(Root(), "import", Args(source.fd()));
  EXPECT_EQ(taken.result["workspace"], "taken") << taken.error;
  EXPECT_EQ(taken.result["files"], 1);
  EXPECT_EQ(taken.result["copied_bytes"], 7);
  EXPECT_GE(taken.progress_lines, 1);
  EXPECT_EQ(Read(Workspace("taken").volume), "content");
  EXPECT_EQ(Ask(Root(), "import", Args(source.fd())).error_number(), EEXIST);
}

TEST_F(ControlImportTest, IsForRootWithADescriptorThatIsTheirs) {
  const TestDirectory source;
  EXPECT_EQ(Ask(User("", true), "import", Args(source.fd())).error_number(), EOPNOTSUPP);
  Json other = Args(source.fd());
  other["inode"] = 1U;
  EXPECT_EQ(Ask(Root(), "import", other).error_number(), EOPNOTSUPP);
  ControlCaller unseen = Root();
  unseen.pid = 0;  // of a PID namespace beside the daemon's
  EXPECT_EQ(Ask(unseen, "import", Args(source.fd())).error_number(), EOPNOTSUPP);
  EXPECT_THAT(store().ListWorkspaces(), IsEmpty());
}

TEST_F(ControlImportTest, LeavesNothingBehindWhenItFails) {
  const TestDirectory source;
  WriteFileAt(source.fd(), "f", "content");
  WriteFileAt(source.fd(), ".snapshots", "mine");
  const size_t volumes = store().backend().List().size();
  EXPECT_EQ(Ask(Root(), "import", Args(source.fd())).error_number(), EPERM);
  EXPECT_THAT(store().ListWorkspaces(), IsEmpty());
  EXPECT_EQ(store().backend().List().size(), volumes);
  EXPECT_EQ(
      Ask(Root(), "import", Args(open(StorePath().c_str(), O_RDONLY | O_DIRECTORY))).error_number(),
      ELOOP);
}

TEST_F(ControlImportTest, IsGivenUpWhenTheCallerGoes) {
  const TestDirectory source;
  for (int i = 0; i < 50; ++i) WriteFileAt(source.fd(), std::to_string(i), "content");
  {
    const auto session = server_->Open(Root());
    session->Append(Json{{"command", "import"}, {"args", Args(source.fd())}}.dump());
    session->Run();
  }
  server_.reset();  // waits for it
  EXPECT_THAT(store().ListWorkspaces(), IsEmpty());
  ExpectSound();
}

// Checkpoints that stop until they are let go.
class ControlWaitingTest : public ControlTest {
 protected:
  void SetUp() override {
    ControlTest::SetUp();
    if (IsSkipped()) return;
    MakeWorkspace("w", "1");
    verbs_->before_checkpoint = [this] { go_on_.get_future().wait(); };
    Open();
  }
  void Open() {
    session_ = server_->Open(Root("w"));
    session_->Append(R"({"command": "checkpoint", "args": {"name": "a"}})");
    session_->Run();
  }

  std::promise<void> go_on_;
  std::shared_ptr<ControlSession> session_;
};

TEST_F(ControlWaitingTest, AReadWaitsAndCanBeInterrupted) {
  std::promise<std::string> first;
  session_->Read(100, [&](const std::string& data) { first.set_value(data); });
  auto piece = first.get_future();
  EXPECT_EQ(piece.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  session_->Interrupt();
  EXPECT_EQ(piece.get(), "\n");
  session_->Interrupt();  // nobody waits
  go_on_.set_value();
  EXPECT_EQ(ReadAnswer(*session_).result["name"], "a") << "nothing of the answer may be lost";
}

TEST_F(ControlWaitingTest, DroppingTheSessionEndsItsReadsButNotTheOperation) {
  std::promise<std::string> first;
  session_->Read(100, [&](const std::string& data) { first.set_value(data); });
  session_.reset();
  EXPECT_EQ(first.get_future().get(), "");
  EXPECT_EQ(store().CountSnapshots(Workspace("w").id), 0U);
  go_on_.set_value();
  server_.reset();
  EXPECT_EQ(store().CountSnapshots(Workspace("w").id), 1U);
}

TEST_F(ControlTest, RunsABoundedNumberAtOnce) {
  constexpr int kMax = 64;
  MakeWorkspace("w", "1");
  std::latch all_run(kMax);
  std::promise<void> go_on;
  const std::shared_future<void> gate = go_on.get_future().share();
  verbs_->before_checkpoint = [&] {
    all_run.count_down();
    gate.wait();
    throw Error(EINTR, "checkpoint");
  };
  std::vector<std::shared_ptr<ControlSession>> sessions;
  for (int i = 0; i < kMax; ++i) {
    sessions.push_back(server_->Open(Root("w")));
    sessions.back()->Append(R"({"command": "checkpoint"})");
    sessions.back()->Run();
  }
  all_run.wait();
  EXPECT_EQ(Ask(Root("w"), "hello").error_number(), EAGAIN);
  go_on.set_value();
  for (const auto& session : sessions) EXPECT_EQ(ReadAnswer(*session).error_number(), EINTR);
  // A thread ends a moment after its answer.
  Outcome again;
  for (int i = 0; i < 1000 && (again = Ask(Root("w"), "hello")).error_number() == EAGAIN; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(again.error_number(), 0);
}

}  // namespace
}  // namespace ckptfs
