#include "backend/base/scouts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/packing.h"

namespace ckptfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using ScoutEnd = Scouts::Outcome::End;

constexpr milliseconds kPatience{50};

Scouts::Clock::time_point In(milliseconds time) { return Scouts::Clock::now() + time; }

void ReportItsProcess(Scout& scout, std::string_view /*request*/) {
  scout.Report(std::to_string(getpid()));
}

void Echo(Scout& scout, std::string_view request) {
  scout.Report(std::string(request));
  scout.Report("");
}

// Hangs at place 3.
void HangAtThree(Scout& scout, std::string_view request) {
  for (uint64_t place = Unpacker(request).Number() + 1; place <= 5; ++place) {
    scout.LookAt(place);
    if (place == 3) pause();
    scout.Report(std::to_string(place));
  }
}

void Work(Scout& scout, std::string_view /*request*/) {
  scout.LookAt(1);
  const auto end = In(kPatience * 4);
  while (Scouts::Clock::now() < end) {
  }
}

void Throw(Scout& scout, std::string_view /*request*/) {
  scout.Report("before");
  throw Error(EIO, "look");
}

class ScoutsTest : public testing::Test {
 protected:
  // While there is one thread.
  const Scouts scouts_;
};

TEST_F(ScoutsTest, ATaskRunsInAnotherProcessWhichIsKept) {
  const Scouts::Outcome first = Scouts::Send(ReportItsProcess, {}, In(seconds(20)), kPatience);
  const Scouts::Outcome second = Scouts::Send(ReportItsProcess, {}, In(seconds(20)), kPatience);
  ASSERT_EQ(first.end, ScoutEnd::kDone);
  EXPECT_NE(first.reports.at(0), std::to_string(getpid()));
  EXPECT_EQ(first.reports, second.reports);
}

TEST_F(ScoutsTest, LargeMessagesArrive) {
  const std::string large(10 << 20, 'x');
  const Scouts::Outcome outcome = Scouts::Send(Echo, large, In(seconds(20)), seconds(20));
  EXPECT_EQ(outcome.end, ScoutEnd::kDone);
  EXPECT_THAT(outcome.reports, ElementsAre(large, ""));
}

TEST_F(ScoutsTest, OneThatHangsIsGivenUpAndTellsWhere) {
  Scouts::Outcome outcome =
      Scouts::Send(HangAtThree, Packer().Number(0).bytes(), In(seconds(20)), kPatience);
  EXPECT_EQ(outcome.end, ScoutEnd::kStuck);
  EXPECT_EQ(outcome.place, 3U);
  EXPECT_THAT(outcome.reports, ElementsAre("1", "2"));
  outcome =
      Scouts::Send(HangAtThree, Packer().Number(outcome.place).bytes(), In(seconds(20)), kPatience);
  EXPECT_EQ(outcome.end, ScoutEnd::kDone);
  EXPECT_THAT(outcome.reports, ElementsAre("4", "5"));
}

TEST_F(ScoutsTest, OneThatWorksDoesNotHang) {
  EXPECT_EQ(Scouts::Send(Work, {}, In(seconds(20)), kPatience).end, ScoutEnd::kDone);
}

TEST_F(ScoutsTest, TheDeadlineHolds) {
  const auto begin = Scouts::Clock::now();
  const Scouts::Outcome outcome =
      Scouts::Send(HangAtThree, Packer().Number(2).bytes(), In(kPatience), seconds(20));
  EXPECT_EQ(outcome.end, ScoutEnd::kLate);
  EXPECT_LT(Scouts::Clock::now() - begin, seconds(10));
}

TEST_F(ScoutsTest, AnExceptionEndsTheTaskAlone) {
  const Scouts::Outcome outcome = Scouts::Send(Throw, {}, In(seconds(20)), kPatience);
  EXPECT_EQ(outcome.end, ScoutEnd::kFailed);
  EXPECT_THAT(outcome.reports, ElementsAre("before"));
  EXPECT_EQ(Scouts::Send(Echo, {}, In(seconds(20)), kPatience).end, ScoutEnd::kDone);
}

TEST_F(ScoutsTest, MoreThanThereCanBeWaitForEachOther) {
  std::atomic<int> done{0};
  {
    constexpr size_t kThreads = 40;
    std::vector<std::jthread> threads;
    threads.reserve(kThreads);
    for (size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        const Scouts::Outcome outcome = Scouts::Send(Work, {}, In(seconds(60)), seconds(60));
        if (outcome.end == ScoutEnd::kDone) ++done;
      });
    }
  }
  EXPECT_EQ(done, 40);
}

TEST(NoScoutsTest, TasksRunInPlace) {
  const Scouts::Outcome outcome = Scouts::Send(ReportItsProcess, {}, In(seconds(20)), kPatience);
  EXPECT_EQ(outcome.end, ScoutEnd::kDone);
  EXPECT_THAT(outcome.reports, ElementsAre(std::to_string(getpid())));
  EXPECT_EQ(Scouts::Send(Throw, {}, In(seconds(20)), kPatience).end, ScoutEnd::kFailed);
}

TEST(EndOfScoutsTest, TheyEndWithTheProgram) {
  pid_t scout = 0;
  {
    const Scouts scouts;
    scout = std::stoi(Scouts::Send(ReportItsProcess, {}, In(seconds(20)), kPatience).reports.at(0));
    ASSERT_EQ(kill(scout, 0), 0);
  }
  const auto end = In(seconds(20));
  while (kill(scout, 0) == 0 && Scouts::Clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(kill(scout, 0), -1);
}

}  // namespace
}  // namespace ckptfs
