// What the control file's commands do and answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/base/error.h"
#include "catalog/trees/names.h"
#include "fs/control/control_requests.h"
#include "tests/unit/fs/control/control_fixture.h"

namespace ckptfs {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using wire::Json;

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
  EXPECT_EQ(Ask(Root(), "prune").error_number(), ENOSYS);
  // Printing JSON this deep would take the stack away.
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  EXPECT_EQ(
      AskText(Root("w"), R"({"command": "list", "args": {"x": )" + deep + "}}").error_number(),
      EINVAL);
  EXPECT_EQ(Ask(Root("w"), "checkpoint", {{"metadata", R"({"x": )" + deep + "}"}}).error_number(),
            EINVAL);
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
  EXPECT_EQ(one["moment"], "one");
  EXPECT_TRUE(one["moment_reason"].is_null());
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
  EXPECT_EQ(store().rows().CountSnapshots(Workspace("w").id), 1U);
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
  EXPECT_EQ(store().rows().ListWorkspaces().size(), 1U);
  EXPECT_EQ(store().rows().CountSnapshots(Workspace("w").id), 1U);
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

TEST_F(ControlTest, ForceIsForABusyWorkspace) {
  MakeWorkspace("w", "1");
  Checkpoint("w", "a");
  verbs_->busy = true;
  const Outcome busy = Ask(Root("w"), "rollback", {{"snapshot", "a"}});
  EXPECT_EQ(busy.error_number(), EBUSY);
  EXPECT_THAT(busy.error["why"].get<std::string>(), HasSubstr("pid 4711"));
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

TEST_F(ControlTest, WarningsAboutOthersAreForRoot) {
  MakeWorkspace("w", "1");
  MakeWorkspace("other", "1");
  Checkpoint("other", "secret");
  store().backend().Destroy(Snapshot("other", "secret").volume);
  Serve();
  const auto warnings = [&](const ControlCaller& caller) {
    return Ask(caller, "status").result["warnings"].dump();
  };
  EXPECT_THAT(warnings(Root("w")), HasSubstr("secret"));
  EXPECT_THAT(warnings(User("", false)), HasSubstr("secret"));
  EXPECT_THAT(warnings(User("w", true)), AllOf(HasSubstr("1 warning"), Not(HasSubstr("secret"))));
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

// In the scope of a workspace only what concerns that one, or the whole store.
TEST_F(ControlTest, HealthIsToldToWhomItConcerns) {
  for (const char* name : {"w", "v"}) {
    MakeWorkspace(name);
    Checkpoint(name, "a");
    Checkpoint(name, "b");
    store().SetSetting(Workspace(name).id, kHealthSnapshots, "1");
  }
  const auto told = [&](const ControlCaller& caller) {
    std::vector<std::string> names;
    const Outcome status = Ask(caller, "status");
    for (const wire::Json& one : status.result.at("health")) {
      EXPECT_EQ(one.at("key"), kHealthSnapshots);
      names.push_back(one.at("workspace").get<std::string>());
    }
    return names;
  };
  EXPECT_THAT(told(Root()), testing::ElementsAre("v", "w"));
  EXPECT_THAT(told(User("w", false)), testing::ElementsAre("w"));
  const std::string warnings = Ask(User("w", false), "status").result.at("warnings").dump();
  EXPECT_THAT(warnings, HasSubstr("workspace w has 2 snapshots"));
  EXPECT_THAT(warnings, testing::Not(HasSubstr("workspace v")));
}

}  // namespace
}  // namespace ckptfs
