#include "fs/fuse/run_class.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

namespace ckptfs {
namespace {

// Reads what is logged meanwhile.
class RunClassTest : public testing::Test {
 protected:
  void SetUp() override {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(lines_)));
    spdlog::set_level(spdlog::level::debug);
  }
  void TearDown() override { spdlog::set_default_logger(before_); }

  std::string Lines() const { return lines_.str(); }

  // As a thread that answers requests: what such a thread may not do it may never do again.
  static void OnOwnThread(const std::function<void()>& task) { std::thread(task).join(); }

 private:
  const std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
  std::ostringstream lines_;
};

int ErrnoOfThrown(const std::function<void()>& action) {
  try {
    action();
  } catch (...) {
    return ErrnoOfException("test");
  }
  return 0;
}

TEST_F(RunClassTest, WhatIsThrownHasAnErrno) {
  EXPECT_EQ(ErrnoOfThrown([] { throw Error(EBUSY, "roll back"); }), EBUSY);
  EXPECT_EQ(ErrnoOfThrown([] { throw std::bad_alloc(); }), ENOMEM);
  EXPECT_EQ(ErrnoOfThrown([] { throw std::runtime_error("odd"); }), EIO);
  EXPECT_EQ(ErrnoOfThrown([] { throw 1; }), EIO);
}

TEST_F(RunClassTest, OnlyWhatIsOddIsAnErrorInTheLog) {
  ErrnoOfThrown([] { throw Error(ENOENT, "look up a"); });
  EXPECT_NE(Lines().find("[debug] test: look up a"), std::string::npos) << Lines();
  ErrnoOfThrown([] { throw Error(EIO, "read b"); });
  EXPECT_NE(Lines().find("[error] test: read b"), std::string::npos) << Lines();
}

// As FORGET, which has no answer that could tell of it.
TEST_F(RunClassTest, AnAttemptThatFailsIsLoggedAndNoMore) {
  int done = 0;
  OnOwnThread([&] {
    Attempt("forget", [&] { ++done; });
    Attempt("forget", [&] {
      ++done;
      throw Error(EIO, "forget a file");
    });
  });
  EXPECT_EQ(done, 2);
  EXPECT_NE(Lines().find("[error] forget: forget a file"), std::string::npos) << Lines();
}

// Who must not wait or work is told by what is thrown, and that is no error.
TEST_F(RunClassTest, AHandlerThatWouldWaitOrWorkIsLeftToAnother) {
  OnOwnThread([] {
    const auto run = [](const auto& handle) { return AnswerOnce(nullptr, "test", handle); };
    EXPECT_EQ(run([] {}), RunOutcome::kAnswered);
    const FreezeLock::NoWaiting no_waiting;
    FreezeLock freeze_lock;
    EXPECT_EQ(run([&] { const FreezeLock::Pass pass(freeze_lock, 0); }), RunOutcome::kAnswered);
    EXPECT_EQ(run([] { FreezeLock::BeforeLongWork(); }), RunOutcome::kTakesLong);
    const FreezeLock::Closed closed(freeze_lock);
    EXPECT_EQ(run([&] { const FreezeLock::Pass pass(freeze_lock, 0); }), RunOutcome::kMustWait);
  });
}

}  // namespace
}  // namespace ckptfs
