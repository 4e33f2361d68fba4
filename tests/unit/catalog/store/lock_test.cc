#include "catalog/store/lock.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "backend/base/error.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

using testing::HasSubstr;

TEST(StoreLock, HoldsThePidAndGoesWithItsHolder) {
  const TestDirectory directory;
  {
    const StoreLock lock(directory.fd());
    EXPECT_FALSE(lock.was_left_behind());
    EXPECT_EQ(ReadFileAt(directory.fd(), "lock"), std::to_string(getpid()) + "\n");
    EXPECT_TRUE(LooksLikeStoreLock(directory.fd()));
  }
  EXPECT_FALSE(ExistsAt(directory.fd(), "lock"));
}

TEST(StoreLock, NamesTheHolder) {
  const TestDirectory directory;
  const StoreLock first(directory.fd());
  try {
    const StoreLock second(directory.fd());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.errno_value(), EBUSY);
    EXPECT_THAT(error.what(), HasSubstr("process " + std::to_string(getpid()) + " "));
  }
  EXPECT_TRUE(ExistsAt(directory.fd(), "lock"));
}

TEST(StoreLock, KnowsThatItsHolderWasKilled) {
  const TestDirectory directory;
  // The child's child, as the child is killed with the lock's destructor not run.
  ASSERT_TRUE(RunAndKill([&] { new StoreLock(directory.fd()); }));  // NOLINT: killed with it
  EXPECT_TRUE(ExistsAt(directory.fd(), "lock"));
  StoreLock lock(directory.fd());
  EXPECT_TRUE(lock.was_left_behind());
  EXPECT_EQ(ReadFileAt(directory.fd(), "lock"), std::to_string(getpid()) + "\n");
}

TEST(StoreLock, IsLeftBehindOnRequest) {
  const TestDirectory directory;
  { StoreLock(directory.fd()).Keep(); }
  EXPECT_TRUE(StoreLock(directory.fd()).was_left_behind());
}

// Who reads a disk that cannot be written to holds no more than the directory.
TEST(StoreLock, AHeldDirectoryKeepsOthersOut) {
  const TestDirectory directory;
  const UniqueFd reader(openat(directory.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(flock(reader.get(), LOCK_EX | LOCK_NB), 0);
  for (const bool read_only : {false, true}) {
    try {
      const StoreLock lock(directory.fd(), read_only);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.errno_value(), EBUSY);
      EXPECT_THAT(error.what(), HasSubstr("read-only"));
    }
    EXPECT_FALSE(ExistsAt(directory.fd(), "lock"));
  }
}

TEST(StoreLock, OtherProgramsLocksLookDifferent) {
  const TestDirectory directory;
  for (const char* content : {"", "\n", "12", "12 host\n", "x\n"}) {
    WriteFileAt(directory.fd(), "lock", content);
    EXPECT_FALSE(LooksLikeStoreLock(directory.fd())) << content;
  }
}

// Taken and freed by many at once: never two holders, in spite of the unlink.
TEST(StoreLock, OneHolderAtATime) {
  const TestDirectory directory;
  std::atomic<int> holders = 0;
  std::atomic<int> taken = 0;
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 500; ++round) {
        try {
          const StoreLock lock(directory.fd());
          EXPECT_EQ(++holders, 1);
          ++taken;
          --holders;
        } catch (const Error& error) {
          EXPECT_EQ(error.errno_value(), EBUSY);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(taken, 0);
}

}  // namespace
}  // namespace ckptfs
