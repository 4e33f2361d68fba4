// A full disk: each way of writing hears of it, and what was written before stays whole.
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>

#include "backend/base/units.h"
#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class FullDisk : public PosixTest {
 protected:
  void SetUp() override {
    PosixTest::SetUp();
    // Nobody's real disk.
    constexpr size_t kLargestMiB = 8192;
    struct statvfs space {};
    ASSERT_OK(statvfs(TestRoot().c_str(), &space));
    if (space.f_bavail / kMiB * space.f_frsize > kLargestMiB) GTEST_SKIP() << "it is too large";
    WriteFile(Path("before"), content_);
    const UniqueFd fd = Open(Path("before"), O_RDONLY);
    ASSERT_OK(fsync(fd.get()));
    FillUp();
  }
  void TearDown() override {
    unlink(Path("ballast").c_str());
    const UniqueFd directory = Open(dir(), O_RDONLY);
    syncfs(directory.get());
    PosixTest::TearDown();
  }

  // Takes the space without writing it, in smaller and smaller pieces.
  void FillUp() {
    const UniqueFd fd = Open(Path("ballast"), O_RDWR | O_CREAT);
    off_t at = 0;
    for (auto piece = static_cast<off_t>(256 * kMiB); piece >= static_cast<off_t>(kPage);) {
      if (fallocate(fd.get(), 0, at, piece) == 0) {
        at += piece;
      } else {
        ASSERT_EQ(errno, ENOSPC);
        piece /= 4;
      }
    }
  }

  // Does `write` until it fails, at most a GiB: returns the errno.
  static std::string UntilItFails(const std::function<long(const std::string& block)>& write) {
    const std::string block = Pattern(kMiB, 1);
    for (int i = 0; i < 1024; ++i) {
      std::string error = ErrnoOf(write(block));
      if (error != kOk) return error;
    }
    return kOk;
  }

  const std::string content_ = Pattern(3 * kMiB + 5, 7);
};

TEST_F(FullDisk, AWriteFails) {
  const UniqueFd fd = Open(Path("file"), O_RDWR | O_CREAT);
  const auto write_block = [&](const std::string& block) {
    return static_cast<long>(write(fd.get(), block.data(), block.size()));
  };
  EXPECT_EQ(UntilItFails(write_block), "ENOSPC");
  EXPECT_OK(fsync(fd.get())) << "what was taken is written";
  EXPECT_EQ(ReadFile(Path("before")), content_);
}

TEST_F(FullDisk, ADirectWriteFails) {
  const UniqueFd fd = Open(Path("file"), O_RDWR | O_CREAT | O_DIRECT);
  PageBuffer buffer(kMiB / kPage);
  off_t at = 0;
  const auto write_block = [&](const std::string& block) {
    block.copy(buffer.get(), kMiB);
    const ssize_t size = pwrite(fd.get(), buffer.get(), kMiB, at);
    at += static_cast<off_t>(kMiB);
    return static_cast<long>(size);
  };
  EXPECT_EQ(UntilItFails(write_block), "ENOSPC");
}

TEST_F(FullDisk, ASynchronousWriteFails) {
  const UniqueFd fd = Open(Path("file"), O_RDWR | O_CREAT | O_DSYNC);
  const auto write_block = [&](const std::string& block) {
    return static_cast<long>(write(fd.get(), block.data(), block.size()));
  };
  EXPECT_EQ(UntilItFails(write_block), "ENOSPC");
}

// With the page cache on the disk's filesystem the store itself finds no room: a bus error. A daemon
// without passthrough hears of the store when it is written out: msync has to tell, and fsync.
TEST_F(FullDisk, AStoreToAMappingIsNotLostInSilence) {
  constexpr size_t kSize = 64 * kMiB;
  const auto store_all = [&](const char* name, const std::function<void(int, void*)>& sync) {
    Child child([&] {
      signal(SIGBUS, SIG_DFL);
      const UniqueFd fd = Open(Path(name), O_RDWR | O_CREAT);
      ASSERT_OK(ftruncate(fd.get(), kSize));
      void* at = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
      ASSERT_NE(at, MAP_FAILED);
      const std::string block = Pattern(kMiB, 3);
      // Far more than is left.
      for (size_t i = 0; i < 32; ++i) {
        std::memcpy(static_cast<char*>(at) + i * kMiB, block.data(), kMiB);
      }
      sync(fd.get(), at);
    });
    const int status = child.WaitStatus();
    if (WIFSIGNALED(status)) return strsignal(WTERMSIG(status)) + std::string();
    return std::string(WEXITSTATUS(status) == 0 ? "as expected" : "not as expected");
  };
  const std::string expected = ThroughDaemon() ? "as expected" : strsignal(SIGBUS);
  EXPECT_EQ(store_all("by msync",
                      [&](int, void* at) { EXPECT_ERRNO(ENOSPC, msync(at, kSize, MS_SYNC)); }),
            expected);
  ASSERT_OK(unlink(Path("by msync").c_str()));
  EXPECT_EQ(store_all("by fsync", [&](int fd, void*) { EXPECT_ERRNO(ENOSPC, fsync(fd)); }),
            expected);
  EXPECT_EQ(ReadFile(Path("before")), content_);
}

TEST_F(FullDisk, SpaceComesBack) {
  const UniqueFd fd = Open(Path("file"), O_RDWR | O_CREAT);
  const auto write_block = [&](const std::string& block) {
    return static_cast<long>(write(fd.get(), block.data(), block.size()));
  };
  EXPECT_EQ(UntilItFails(write_block), "ENOSPC");
  ASSERT_OK(unlink(Path("ballast").c_str()));
  const UniqueFd directory = Open(dir(), O_RDONLY);
  ASSERT_OK(syncfs(directory.get()));
  const UniqueFd again = Open(Path("again"), O_RDWR | O_CREAT);
  WriteAt(again.get(), 0, content_);
  EXPECT_OK(fsync(again.get()));
  EXPECT_EQ(ReadFile(Path("again")), content_);
}

}  // namespace
}  // namespace ckptfs::testing
