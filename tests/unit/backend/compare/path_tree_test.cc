#include "backend/compare/path_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <string>
#include <vector>

namespace ckptfs {
namespace {

class PathTreeTest : public ::testing::Test {
 protected:
  PathId Add(std::string_view path) {
    PathId at = kRootPath;
    while (!path.empty()) {
      const std::string_view name = path.substr(0, path.find('/'));
      at = tree_.Child(at, name);
      path.remove_prefix(std::min(path.size(), name.size() + 1));
    }
    return at;
  }

  FixedLimits limits_{size_t{8} << 20};
  PathTree tree_{limits_};
};

TEST_F(PathTreeTest, EachPathIsThereOnce) {
  const PathId path = Add("a/b/c");
  EXPECT_EQ(Add("a/b/c"), path);
  EXPECT_EQ(tree_.size(), 4U);
  EXPECT_EQ(tree_.Text(path), "a/b/c");
  EXPECT_EQ(tree_.Text(kRootPath), "");
  EXPECT_EQ(tree_.LengthOf(path), 5U);
  EXPECT_EQ(tree_.NameOf(path), "c");
  EXPECT_EQ(tree_.DirectoryOf(path), Add("a/b"));
  EXPECT_LT(tree_.DirectoryOf(path), path);
  EXPECT_EQ(tree_.FindChild(Add("a"), "x"), kNoPath);
  EXPECT_EQ(tree_.FindChild(Add("a"), "b"), Add("a/b"));
}

TEST_F(PathTreeTest, SortsAsTheBytesOfPathsDo) {
  std::mt19937 random(1);  // NOLINT(bugprone-random-generator-seed,cert-msc51-cpp)
  const std::vector<std::string> names = {"a", "a-", "a-b", "a.", "a0", "ab", " ", "\xff", "-"};
  for (int i = 0; i < 300; ++i) {
    PathId at = kRootPath;
    for (size_t depth = random() % 5; depth > 0; --depth) {
      at = tree_.Child(at, names[random() % names.size()]);
    }
  }
  const std::vector<uint32_t> ranks = tree_.Ranks();
  std::vector<std::pair<uint32_t, std::string>> order;
  for (uint32_t i = 0; i < tree_.size(); ++i) order.emplace_back(ranks[i], tree_.Text(PathId{i}));
  std::sort(order.begin(), order.end());
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end(),
                             [](const auto& a, const auto& b) { return a.second < b.second; }));
}

// Of paths of which each is as long as all names together.
TEST_F(PathTreeTest, ADeepTreeTakesWhatItsNamesTake) {
  const std::string name(250, 'x');
  PathId at = kRootPath;
  for (int i = 0; i < 4000; ++i) at = tree_.Child(at, name);
  EXPECT_EQ(tree_.Text(at).size(), 4000U * 251 - 1);
  EXPECT_EQ(tree_.Ranks().at(static_cast<size_t>(at)), 4000U);
}

TEST_F(PathTreeTest, ThereIsAnEnd) {
  const std::string name(255, 'x');
  try {
    PathId at = kRootPath;
    for (int i = 0; i < 5000; ++i) at = tree_.Child(at, name);
    FAIL() << "a path of more than a MiB";
  } catch (const LimitError& error) {
    EXPECT_EQ(error.errno_value(), E2BIG);
  }
  try {
    for (int i = 0; i < 100'000; ++i) tree_.Child(kRootPath, std::to_string(i) + name.substr(6));
    FAIL() << "more than the limits allow";
  } catch (const LimitError& error) {
    EXPECT_EQ(error.errno_value(), E2BIG);
  }
}

TEST(HeldBytesTest, AreGivenBack) {
  FixedLimits limits(size_t{1} << 20);
  for (int i = 0; i < 100; ++i) {
    HeldBytes held(limits);
    for (int j = 0; j < 500; ++j) held.Add(1000);
    HeldBytes moved(std::move(held));
    moved.Remove(100'000);
    moved.Add(100'000);
  }
  HeldBytes held(limits);
  EXPECT_THROW(held.Add((size_t{1} << 20) + 1), LimitError);
  held.Add(size_t{1} << 20);
}

}  // namespace
}  // namespace ckptfs
