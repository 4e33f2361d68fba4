// Requests in pieces, answers that are waited for, and how many there are at once.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "backend/base/error.h"
#include "tests/unit/fs/control/control_fixture.h"

namespace ckptfs {
namespace {

using wire::Json;

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
  EXPECT_EQ(store().rows().CountSnapshots(Workspace("w").id), 0U);
  go_on_.set_value();
  server_.reset();
  EXPECT_EQ(store().rows().CountSnapshots(Workspace("w").id), 1U);
}

// Requests that run until they are let go on.
class ControlManyTest : public ControlTest {
 protected:
  void SetUp() override {
    ControlTest::SetUp();
    if (IsSkipped()) return;
    MakeWorkspace("w", "1");
    verbs_->before_checkpoint = [this, freeze_lock = go_on_.get_future().share()] {
      ++running_;
      freeze_lock.wait();
      throw Error(EINTR, "checkpoint");
    };
  }

  void Start(const ControlCaller& caller, int count) {
    for (int i = 0; i < count; ++i) {
      sessions_.push_back(server_->Open(caller));
      sessions_.back()->Append(R"({"command": "checkpoint"})");
      sessions_.back()->Run();
    }
    while (running_ < static_cast<int>(sessions_.size())) std::this_thread::yield();
  }

  void LetGoOn() {
    go_on_.set_value();
    for (const auto& session : sessions_) EXPECT_EQ(ReadAnswer(*session).error_number(), EINTR);
  }

  // A thread ends a moment after its answer.
  void ExpectPlaceAgain(const ControlCaller& caller) {
    Outcome again;
    for (int i = 0; i < 1000 && (again = Ask(caller, "hello")).error_number() == EAGAIN; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    EXPECT_EQ(again.error_number(), 0);
  }

 private:
  std::promise<void> go_on_;
  std::atomic<int> running_{0};
  std::vector<std::shared_ptr<ControlSession>> sessions_;
};

TEST_F(ControlManyTest, ABoundedNumberRunsAtOnce) {
  Start(Root("w"), 64);
  EXPECT_EQ(Ask(Root("w"), "hello").error_number(), EAGAIN);
  LetGoOn();
  ExpectPlaceAgain(Root("w"));
}

TEST_F(ControlManyTest, OneUserLeavesPlacesToOthers) {
  const ControlCaller user = User("w", true);
  ControlCaller other = user;
  ++other.uid;
  Start(user, 16);
  EXPECT_EQ(Ask(user, "hello").error_number(), EAGAIN);
  EXPECT_EQ(Ask(other, "hello").error_number(), 0);
  EXPECT_EQ(Ask(Root("w"), "hello").error_number(), 0);
  LetGoOn();
  ExpectPlaceAgain(user);
}

}  // namespace
}  // namespace ckptfs
