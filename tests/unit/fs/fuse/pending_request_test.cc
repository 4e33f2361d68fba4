#include "fs/fuse/pending_request.h"

#include <gtest/gtest.h>

namespace ckptfs {
namespace {

// Who sends the answer: the one that works on the request, or the one that has seen its asker killed.
class PendingRequestTest : public ::testing::TestWithParam<PendingRequest::Kind> {
 protected:
  int Send() {
    ++answers_;
    return 0;
  }

  int answers_ = 0;
  int* const anything_ = &answers_;
  // Neither is looked at here.
  PendingRequest pending_{GetParam(),
                          reinterpret_cast<fuse_req*>(anything_),
                          *reinterpret_cast<FuseHandlers*>(anything_),
                          {},
                          nullptr};
};

TEST_P(PendingRequestTest, OfALivingAskerIsDoneAndAnsweredOnce) {
  EXPECT_TRUE(pending_.Begin());
  EXPECT_TRUE(pending_.Touch([] {}));
  EXPECT_EQ(0, pending_.Answer([this] { return Send(); }));
  EXPECT_EQ(-ENOENT, pending_.Answer([this] { return Send(); }));
  pending_.Kill([this] { Send(); });
  EXPECT_EQ(1, answers_);
  EXPECT_FALSE(pending_.Touch([] { FAIL(); }));
}

TEST_P(PendingRequestTest, ThatNobodyHasBegunWithIsAnsweredAndNotDone) {
  pending_.Kill([this] { Send(); });
  EXPECT_EQ(1, answers_);
  EXPECT_FALSE(pending_.Begin());
}

TEST_P(PendingRequestTest, ThatHasBegunIsAnsweredEarlyIfItIsAVerb) {
  EXPECT_TRUE(pending_.Begin());
  pending_.Kill([this] { Send(); });
  const bool is_verb = GetParam() == PendingRequest::Kind::kVerb;
  EXPECT_EQ(is_verb ? 1 : 0, answers_);
  EXPECT_TRUE(pending_.killed());
  EXPECT_EQ(is_verb ? -ENOENT : 0, pending_.Answer([this] { return Send(); }));
  EXPECT_EQ(1, answers_);
}

INSTANTIATE_TEST_SUITE_P(Kinds, PendingRequestTest,
                         ::testing::Values(PendingRequest::Kind::kVerb,
                                           PendingRequest::Kind::kOther));

}  // namespace
}  // namespace ckptfs
