// Requests in pieces, answers that are waited for, and how many there are at once.
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <future>
#include <latch>
#include <thread>

#include "backend/base/error.h"
#include "tests/unit/fs/control_fixture.h"

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
