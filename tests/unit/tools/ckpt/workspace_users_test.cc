#include "tools/ckpt/workspace_users.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "backend/base/unique_fd.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs::cli {
namespace {

TEST(UseOf, SaysWhatALinkShows) {
  EXPECT_EQ(UseOf("cwd", "/m/w", "/m/w"), "stands in it");
  EXPECT_EQ(UseOf("cwd", "/m/w/a/b", "/m/w"), "stands in it");
  EXPECT_EQ(UseOf("root", "/m/w/a", "/m/w"), "stands in it");
  EXPECT_EQ(UseOf("exe", "/m/w/bin/x", "/m/w"), "runs bin/x");
  EXPECT_EQ(UseOf("fd/3", "/m/w/a b", "/m/w"), "has a b open");
  EXPECT_EQ(UseOf("fd/3", "/m/w", "/m/w"), "has it open");
  EXPECT_EQ(UseOf("fd/3", "/m/w/gone (deleted)", "/m/w"), "has gone (deleted) open");
  EXPECT_EQ(UseOf("fd/3", "/m/w/a\nb", "/m/w"), "has \"a\\nb\" open");
}

TEST(UseOf, LeavesOutWhatIsElsewhere) {
  EXPECT_EQ(UseOf("cwd", "/m", "/m/w"), "");
  EXPECT_EQ(UseOf("cwd", "/m/w2", "/m/w"), "");
  EXPECT_EQ(UseOf("fd/3", "/m/ww/a", "/m/w"), "");
  EXPECT_EQ(UseOf("fd/3", "socket:[1]", "/m/w"), "");
  EXPECT_EQ(UseOf("cwd", "/m/w/.snapshots/s", "/m/w"), "");
  EXPECT_EQ(UseOf("fd/3", "/m/w/.ckptfs-control", "/m/w"), "");
  EXPECT_EQ(UseOf("fd/3", "/m/w/a/.snapshots", "/m/w"), "has a/.snapshots open");
}

// A process that stands in a directory, for the lifetime of the object.
class Stander {
 public:
  explicit Stander(const std::string& directory) : pid_(fork()) {
    if (pid_ != 0) return;
    if (chdir(directory.c_str()) != 0) _exit(1);
    kill(getpid(), SIGSTOP);
    _exit(0);
  }
  Stander(const Stander&) = delete;
  Stander& operator=(const Stander&) = delete;
  ~Stander() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  void AwaitStop() const { waitpid(pid_, nullptr, WUNTRACED); }

 private:
  pid_t pid_;
};

TEST(FindUsers, FindsWhoStandsThereAndLeavesOutItself) {
  const TestDirectory directory;
  const std::string root = std::filesystem::canonical(directory.path());
  struct stat info {};
  ASSERT_EQ(stat(root.c_str(), &info), 0);
  const UniqueFd own(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto find = [&] {
    std::vector<WorkspaceUser> users = FindUsers(root, info.st_dev);
    std::erase_if(users, [](const WorkspaceUser& user) { return user.use != "stands in it"; });
    return users;
  };
  EXPECT_TRUE(find().empty());
  const Stander stander(root);
  stander.AwaitStop();
  ASSERT_EQ(find().size(), 1U);
  EXPECT_EQ(find().front().pid, stander.pid());
  EXPECT_FALSE(find().front().command.empty());
  EXPECT_TRUE(FindUsers(root, info.st_dev + 1).empty()) << "another filesystem's";
}

TEST(DescribeUsers, NamesTheFirstAndCountsTheRest) {
  std::vector<WorkspaceUser> users = {{.pid = 7, .command = "bash", .use = "stands in it"},
                                      {.pid = 9, .command = "vi", .use = "has a open"}};
  EXPECT_EQ(Describe(users), "bash (pid 7) stands in it, vi (pid 9) has a open");
  users.resize(13, users.front());
  EXPECT_TRUE(Describe(users).ends_with(" and 3 more"));
}

}  // namespace
}  // namespace ckptfs::cli
