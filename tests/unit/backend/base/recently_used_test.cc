#include "backend/base/recently_used.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

namespace ckptfs {
namespace {

using std::chrono::hours;
using std::chrono::nanoseconds;
using Cache = RecentlyUsed<std::string, std::shared_ptr<int>>;

class RecentlyUsedTest : public testing::Test {
 protected:
  std::shared_ptr<int> Get(const std::string& key) {
    return kept_.Get(key, [this] { return std::make_shared<int>(++made_); });
  }

  int made_ = 0;
  Cache kept_{2};
};

TEST_F(RecentlyUsedTest, WhatWasJustMadeIsUsedAgain) {
  const auto first = Get("a");
  EXPECT_EQ(Get("a"), first);
  EXPECT_NE(Get("b"), first);
  EXPECT_EQ(made_, 2);
}

TEST_F(RecentlyUsedTest, TheOneWhoseUseIsTheLongestAgoGoes) {
  const std::weak_ptr<int> a = Get("a");
  const std::weak_ptr<int> b = Get("b");
  Get("a");
  Get("c");
  EXPECT_FALSE(a.expired());
  EXPECT_TRUE(b.expired());
}

TEST_F(RecentlyUsedTest, WhoUsesOneKeepsIt) {
  const auto a = Get("a");
  kept_.Remove("a");
  EXPECT_EQ(*a, 1);
  EXPECT_NE(Get("a"), a);
}

TEST_F(RecentlyUsedTest, WhatIsToldToGoGoes) {
  const std::weak_ptr<int> a = Get("a");
  const std::weak_ptr<int> b = Get("b");
  kept_.RemoveIf([](const std::string& key, const std::shared_ptr<int>& value) {
    return key == "b" && *value == 2;
  });
  EXPECT_FALSE(a.expired());
  EXPECT_TRUE(b.expired());
  kept_.Remove("of nothing");
  EXPECT_FALSE(a.expired());
}

TEST_F(RecentlyUsedTest, IdleOnesGo) {
  const std::weak_ptr<int> a = Get("a");
  EXPECT_TRUE(kept_.RemoveIdle(hours(1)));
  EXPECT_FALSE(a.expired());
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_FALSE(kept_.RemoveIdle(nanoseconds(1)));
  EXPECT_TRUE(a.expired());
}

TEST_F(RecentlyUsedTest, OfTwoThatAreMadeAtATimeTheFirstIsKept) {
  std::shared_ptr<int> first;
  const auto second = kept_.Get("a", [&] {
    first = Get("a");
    return std::make_shared<int>(-1);
  });
  EXPECT_EQ(second, first);
  EXPECT_EQ(*second, 1);
}

TEST_F(RecentlyUsedTest, NothingIsKeptOfOneThatCannotBeMade) {
  EXPECT_THROW(kept_.Get("a", []() -> std::shared_ptr<int> { throw std::runtime_error("none"); }),
               std::runtime_error);
  EXPECT_EQ(*Get("a"), 1);
}

// What is dropped may take long to go, and may ask for another one.
TEST(RecentlyUsedLockTest, ValuesAreMadeAndGoOutsideOfTheLock) {
  struct Asks {
    RecentlyUsed<int, std::shared_ptr<Asks>>* of = nullptr;
    explicit Asks(RecentlyUsed<int, std::shared_ptr<Asks>>* owner) : of(owner) {}
    ~Asks() {
      if (of != nullptr) of->Remove(7);
    }
    Asks(const Asks&) = delete;
    Asks& operator=(const Asks&) = delete;
  };
  RecentlyUsed<int, std::shared_ptr<Asks>> kept(1);
  kept.Get(1, [&] { return std::make_shared<Asks>(&kept); });
  kept.Get(2, [&] { return std::make_shared<Asks>(nullptr); });  // 1 goes
  const std::weak_ptr<Asks> third = kept.Get(3, [&] { return std::make_shared<Asks>(&kept); });
  kept.Remove(3);
  EXPECT_TRUE(third.expired());
}

TEST(RecentlyUsedPartTest, APartOfAValueIsHandedOutAlone) {
  struct Pair {
    std::shared_ptr<int> kept;
    std::shared_ptr<int> handed_out;
  };
  RecentlyUsed<int, Pair> kept(1);
  const std::shared_ptr<int> whole = std::make_shared<int>(1);
  const auto part = kept.Get(
      1,
      [&] {
        return Pair{whole, std::make_shared<int>(2)};
      },
      &Pair::handed_out);
  EXPECT_EQ(*part, 2);
  kept.Remove(1);
  EXPECT_EQ(whole.use_count(), 1);
}

}  // namespace
}  // namespace ckptfs
