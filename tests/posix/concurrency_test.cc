// Many at once.
#include <atomic>
#include <set>
#include <thread>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class Concurrency : public PosixTest {
 protected:
  static constexpr int kThreads = 8;
  static void InThreads(const std::function<void(int)>& body) {
    std::vector<std::jthread> threads;
    threads.reserve(kThreads);
    for (int i = 0; i < kThreads; ++i) threads.emplace_back(body, i);
  }
};

TEST_F(Concurrency, EachThreadMakesAndRemovesItsOwnFilesInOneDirectory) {
  constexpr int kFiles = 300;
  InThreads([&](int thread) {
    for (int i = 0; i < kFiles; ++i) {
      const std::string name = Path(std::to_string(thread) + "." + std::to_string(i));
      WriteFile(name, name);
      ASSERT_OK(rename(name.c_str(), (name + "r").c_str()));
      ASSERT_EQ(ReadFile(name + "r"), name);
      if (i % 2 == 0) {
        ASSERT_OK(unlink((name + "r").c_str()));
      }
    }
  });
  EXPECT_EQ(List(dir()).size(), size_t{kThreads} * kFiles / 2);
}

TEST_F(Concurrency, AllFightForTheSameNames) {
  // Whatever wins, an errno is one that the race explains, and in the end all agree.
  const std::set<std::string> explained = {"OK",      "ENOENT", "EEXIST", "ENOTEMPTY", "EISDIR",
                                           "ENOTDIR", "EINVAL", "EPERM"};  // link(2) of a directory
  std::atomic<int> strange{0};
  const auto expect_explained = [&](long result) {
    const std::string error = ErrnoOf(result);
    if (!explained.contains(error) && ++strange < 5) ADD_FAILURE() << error;
  };
  InThreads([&](int thread) {
    uint32_t random = static_cast<uint32_t>(thread) * 2654435761U + 1;
    for (int i = 0; i < 1500; ++i) {
      random = random * 1664525U + 1013904223U;
      const std::string a = Path(std::to_string(random >> 8U & 3U));
      const std::string b = Path(std::to_string(random >> 12U & 3U));
      switch (random >> 16U & 7U) {
        case 0:
          expect_explained(mkdir(a.c_str(), 0755));
          break;
        case 1:
          expect_explained(rmdir(a.c_str()));
          break;
        case 2:
          expect_explained(unlink(a.c_str()));
          break;
        case 3:
          expect_explained(rename(a.c_str(), b.c_str()));
          break;
        case 4: {
          const UniqueFd fd(open(a.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
          expect_explained(fd.get());
          if (fd.valid()) expect_explained(pwrite(fd.get(), "x", 1, 0));
          break;
        }
        case 5:
          expect_explained(renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), 2));
          break;
        case 6: {
          struct stat status {};
          expect_explained(lstat(a.c_str(), &status));
          break;
        }
        default:
          expect_explained(link(a.c_str(), b.c_str()));
      }
    }
  });
  EXPECT_EQ(strange, 0);
  for (const std::string& name : List(dir())) Stat(Path(name));
}

TEST_F(Concurrency, WritersOfDifferentPartsOfOneFile) {
  constexpr size_t kPart = 100'000;
  const UniqueFd fd = Open(Path("file"), O_RDWR | O_CREAT);
  InThreads([&](int thread) {
    const UniqueFd own = Open(Path("file"), O_RDWR);
    const std::string content = Pattern(kPart, static_cast<uint32_t>(thread));
    for (size_t at = 0; at < kPart; at += 1000) {
      WriteAt(own.get(), static_cast<off_t>(static_cast<size_t>(thread) * kPart + at),
              content.substr(at, 1000));
    }
  });
  for (int thread = 0; thread < kThreads; ++thread) {
    EXPECT_EQ(ReadAt(fd.get(), thread * static_cast<off_t>(kPart), kPart),
              Pattern(kPart, static_cast<uint32_t>(thread)));
  }
}

TEST_F(Concurrency, ReadersSeeASizeThatOnlyGrows) {
  // One appends; others stat by name, stat by descriptor, and read to the end.
  constexpr int kLines = 2000;
  WriteFile(Path("log"), "");
  std::atomic<bool> done{false};
  std::jthread writer([&] {
    const UniqueFd fd = Open(Path("log"), O_WRONLY | O_APPEND);
    for (int i = 0; i < kLines; ++i) EXPECT_EQ(write(fd.get(), "a line of 20 bytes.\n", 20), 20);
    done = true;
  });
  InThreads([&](int thread) {
    const UniqueFd fd = Open(Path("log"), O_RDONLY);
    off_t size = 0;
    while (!done) {
      const off_t now = thread % 2 == 0 ? Stat(Path("log")).st_size : Stat(fd.get()).st_size;
      EXPECT_GE(now, size);
      // No whole number of lines: btrfs tells sizes from within a write that crosses a page.
      size = now;
    }
  });
  writer.join();
  EXPECT_EQ(Stat(Path("log")).st_size, 20 * kLines);
  EXPECT_EQ(ReadFile(Path("log")).size(), size_t{20} * kLines);
}

TEST_F(Concurrency, OpensAndClosesOfOneFile) {
  WriteFile(Path("file"), "content");
  InThreads([&](int thread) {
    for (int i = 0; i < 1000; ++i) {
      const bool write = (i + thread) % 3 == 0;
      const UniqueFd fd = Open(Path("file"), write ? O_RDWR : O_RDONLY);
      ASSERT_EQ(ReadAt(fd.get(), 0, 7), "content");
      if (write) WriteAt(fd.get(), 0, "content");
    }
  });
}

// stat(2) looks underneath whether a file that was written to is still mapped.
TEST_F(Concurrency, OpeningWithoutBlockingWhileOthersLook) {
  WriteFile(Path("file"), "x");
  const auto look = [&] {
    for (;;) Stat(Path("file"));
  };
  Child looks(look);
  Child looks_too(look);
  for (int i = 0; i < 8000; ++i) {
    const UniqueFd fd = Open(Path("file"), O_WRONLY | O_NONBLOCK);
    ASSERT_TRUE(fd.valid()) << "after " << i;
  }
}

}  // namespace
}  // namespace ckptfs::testing
