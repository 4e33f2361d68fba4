#include "backend/dm/content_hash.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "backend/base/unique_fd.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

class ContentHashTest : public testing::Test {
 protected:
  UniqueFd Make(const std::string& name, off_t size) {
    UniqueFd fd(openat(directory_.fd(), name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_EQ(ftruncate(fd.get(), size), 0);
    return fd;
  }
  static void Put(const UniqueFd& fd, off_t offset, const std::string& text) {
    EXPECT_EQ(pwrite(fd.get(), text.data(), text.size(), offset),
              static_cast<ssize_t>(text.size()));
  }

  TestDirectory directory_;
};

TEST_F(ContentHashTest, HolesAndZerosAreTheSame) {
  const UniqueFd sparse = Make("sparse", 1 << 20);
  const UniqueFd full = Make("full", 0);
  Put(full, 0, std::string(1 << 20, '\0'));
  EXPECT_EQ(HashContent(sparse.get()), HashContent(full.get()));
  EXPECT_EQ(HashContent(sparse.get()).size(), 64u);
  Put(sparse, 300000, "x");
  EXPECT_NE(HashContent(sparse.get()), HashContent(full.get()));
  Put(full, 300000, "x");
  EXPECT_EQ(HashContent(sparse.get()), HashContent(full.get()));
}

TEST_F(ContentHashTest, PlaceSizeAndEachByteCount) {
  const UniqueFd file = Make("file", 1 << 20);
  Put(file, 70000, "abc");
  const std::string hash = HashContent(file.get());
  Put(file, 70000, "abd");
  EXPECT_NE(HashContent(file.get()), hash);
  Put(file, 70000, "abc");
  EXPECT_EQ(HashContent(file.get()), hash);
  ASSERT_EQ(ftruncate(file.get(), (1 << 20) + 1), 0);
  EXPECT_NE(HashContent(file.get()), hash);
  // The same piece at another place.
  const UniqueFd moved = Make("moved", 1 << 20);
  Put(moved, 70000 + 65536, "abc");
  EXPECT_NE(HashContent(moved.get()), hash);
}

TEST_F(ContentHashTest, OfNothing) {
  EXPECT_NE(HashContent(Make("empty", 0).get()), HashContent(Make("hole", 1).get()));
}

}  // namespace
}  // namespace ckptfs
