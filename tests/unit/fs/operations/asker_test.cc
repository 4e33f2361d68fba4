#include "fs/operations/asker.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <unistd.h>

namespace ckptfs {
namespace {

constexpr uint64_t kFowner = uint64_t{1} << CAP_FOWNER;

TEST(PowersTest, AreOverWhatHasNumbersInTheNamespace) {
  const Powers powers(kFowner, {{100000, 10}}, {{200000, 1}});
  EXPECT_TRUE(powers.Over(CAP_FOWNER, 100000, 200000));
  EXPECT_TRUE(powers.Over(CAP_FOWNER, 100009, 200000));
  EXPECT_FALSE(powers.Over(CAP_FOWNER, 100010, 200000));
  EXPECT_FALSE(powers.Over(CAP_FOWNER, 99999, 200000));
  EXPECT_FALSE(powers.Over(CAP_FOWNER, 100000, 200001));
  EXPECT_FALSE(powers.Over(CAP_FOWNER, 0, 0));
  EXPECT_FALSE(powers.Over(CAP_DAC_OVERRIDE, 100000, 200000));
}

TEST(PowersTest, OfNobodyAreNone) {
  EXPECT_FALSE(Powers().Over(CAP_FOWNER, 0, 0));
  EXPECT_FALSE(PowersOf(0).Over(CAP_FOWNER, 0, 0));
}

TEST(PowersTest, OfRootAreOverAll) {
  if (geteuid() != 0) GTEST_SKIP() << "not root";
  EXPECT_TRUE(PowersOf(gettid()).Over(CAP_FOWNER, 0, 0));
  EXPECT_TRUE(PowersOf(gettid()).Over(CAP_DAC_OVERRIDE, 4711, 4711));
}

TEST(AskerTest, LooksOnce) {
  int looks = 0;
  const Asker asker(1, 2, [&looks] {
    ++looks;
    return FurtherCredentials{.groups = {3}, .powers = {}};
  });
  EXPECT_EQ(looks, 0);
  EXPECT_EQ(asker.further().groups, std::vector<gid_t>{3});
  EXPECT_EQ(asker.further().groups, std::vector<gid_t>{3});
  EXPECT_EQ(looks, 1);
}

}  // namespace
}  // namespace ckptfs
