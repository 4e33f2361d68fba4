#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/time.h"
#include "backend/base/unique_fd.h"
#include "backend/base/uuid.h"

namespace ckptfs {
namespace {

TEST(ErrorTest, IsOneLine) {
  const Error plain(ENOENT, "open volumes.img");
  EXPECT_STREQ(plain.what(), "open volumes.img: No such file or directory");
  const Error full(EBUSY, "delete a", "it is pinned", "Unpin it first");
  EXPECT_STREQ(full.what(), "delete a: it is pinned. Unpin it first.");
  EXPECT_EQ(full.errno_value(), EBUSY);
}

TEST(ErrorTest, CheckSyscallThrowsErrno) {
  try {
    CheckSyscall(open("/nowhere/at/all", O_RDONLY), "open it");
    FAIL() << "the call failed unnoticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.errno_value(), ENOENT);
  }
}

TEST(UniqueFdTest, ClosesOnceAndMoves) {
  int number = -1;
  {
    UniqueFd first(open("/dev/null", O_RDONLY | O_CLOEXEC));
    number = first.get();
    const UniqueFd second(std::move(first));
    EXPECT_EQ(second.get(), number);
    EXPECT_NE(fcntl(number, F_GETFD), -1);
  }
  EXPECT_EQ(fcntl(number, F_GETFD), -1);
}

TEST(UuidTest, ParsesOnlyTheCanonicalForm) {
  const Uuid uuid = Uuid::Generate();
  EXPECT_EQ(Uuid::Parse(uuid.str()), uuid);
  EXPECT_NE(Uuid::Generate(), uuid);
  EXPECT_FALSE(Uuid::Parse("").has_value());
  EXPECT_FALSE(Uuid::Parse("../../etc/passwd").has_value());
  EXPECT_FALSE(Uuid::Parse("FD713A67-E0BF-42C7-B208-AC2EEC79A913").has_value());
  EXPECT_FALSE(Uuid::Parse(uuid.str() + "x").has_value());
}

TEST(TimeTest, Rfc3339GoesBothWays) {
  EXPECT_EQ(FormatRfc3339(0), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(FormatRfc3339(-1), "1969-12-31T23:59:59.999999999Z");
  const int64_t now = NowNs();
  EXPECT_EQ(ParseRfc3339(FormatRfc3339(now)), now);
  EXPECT_EQ(ParseRfc3339("2026-11-20T21:22:33Z"), int64_t{1795209753} * 1'000'000'000);
  EXPECT_EQ(ParseRfc3339("2026-11-20T21:22:33.5Z"),
            int64_t{1795209753} * 1'000'000'000 + 500'000'000);
  for (const char* text : {"", "2026-11-20", "2026-11-20T21:22:33", "2026-11-20T21:22:33.Z",
                           "2026-11-20T21:22:33.1234567891Z", "2026-11-20T21:22:33+01:00"}) {
    EXPECT_FALSE(ParseRfc3339(text).has_value()) << text;
  }
  EXPECT_EQ(FormatForName(int64_t{1795209753} * 1'000'000'000), "20261120T212233Z");
}

}  // namespace
}  // namespace ckptfs
