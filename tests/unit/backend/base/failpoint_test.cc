#include "backend/base/failpoint.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

// The variables are read once by a process: each of these tests is of one of its own, which passes "a", "b", "a".
constexpr char kPasses[] = "CKPTFS_TEST_PASSES_FAILPOINTS";
constexpr int kThrown = 100;

class PassingProcess : public testing::Environment {
 public:
  void SetUp() override {
    if (std::getenv(kPasses) == nullptr) return;  // NOLINT(concurrency-mt-unsafe): one thread
    try {
      for (const char* name : {"a", "b", "a"}) Failpoint(name);
    } catch (const Error& error) {
      _exit(kThrown + error.errno_value());
    }
    _exit(0);
  }
};
const testing::Environment* const kPassingProcess =
    testing::AddGlobalTestEnvironment(new PassingProcess);  // NOLINT: GoogleTest owns it

// How that process ends: as waitpid(2) says it.
int Pass(const std::string& wishes, const std::string& trace = "",
         const std::string& permission = "may-kill-the-daemon") {
  std::vector<std::string> words = {std::string(kPasses) + "=1", "CKPTFS_FAILPOINT=" + wishes,
                                    "CKPTFS_TESTING=" + permission};
  if (!trace.empty()) words.push_back("CKPTFS_FAILPOINT_TRACE=" + trace);
  std::vector<char*> environment;
  environment.reserve(words.size() + 1);
  for (std::string& word : words) environment.push_back(word.data());
  environment.push_back(nullptr);
  const pid_t child = CheckSyscall(fork(), "fork");
  if (child == 0) {
    execle("/proc/self/exe", "passes", "--gtest_brief=1", nullptr, environment.data());
    _exit(2);
  }
  int status = 0;
  CheckSyscall(waitpid(child, &status, 0), "wait for it");
  return status;
}
bool IsKilled(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }

TEST(FailpointTest, WithoutAWishNothingHappens) {
  EXPECT_EQ(Pass(""), 0);
  EXPECT_EQ(Pass("c,d=5"), 0);
}

TEST(FailpointTest, OnesNameKills) {
  EXPECT_TRUE(IsKilled(Pass("b")));
  EXPECT_TRUE(IsKilled(Pass("c,a")));
}

TEST(FailpointTest, AStepFailsWithTheErrnoThatIsGiven) {
  EXPECT_EQ(WEXITSTATUS(Pass("b=5")), kThrown + 5);
  EXPECT_EQ(WEXITSTATUS(Pass("a=28@2,b=5@7")), kThrown + 28);
}

TEST(FailpointTest, OnlyTheTimeThatIsMeantCounts) {
  EXPECT_TRUE(IsKilled(Pass("a@2")));
  EXPECT_EQ(Pass("a@3"), 0);
}

TEST(FailpointTest, AStepSleeps) {
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(Pass("a~150@1"), 0);
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(150));
}

TEST(FailpointTest, WhatIsPassedIsTraced) {
  const TestDirectory directory;
  EXPECT_TRUE(IsKilled(Pass("a@2", directory.Path("trace"))));
  std::ifstream trace(directory.Path("trace"));
  const std::string text{std::istreambuf_iterator<char>(trace), {}};
  EXPECT_EQ(text, "a\nb\na\n") << "before anything happens";
}

// No mount dies by an accident.
TEST(FailpointTest, NothingCountsWithoutThePermission) {
  const TestDirectory directory;
  EXPECT_EQ(Pass("a", directory.Path("trace"), "1"), 0);
  EXPECT_FALSE(std::ifstream(directory.Path("trace")).good());
}

}  // namespace
}  // namespace ckptfs
