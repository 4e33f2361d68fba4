// Many processes append to one file.
#include <fmt/format.h>
#include <sys/mman.h>

#include <memory>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

constexpr int kProcesses = 8;
constexpr int kRecords = 150;

// A record says whose it is, which, and how long: a line of any length, over the bounds of pages too.
std::string Record(int process, int number) {
  const size_t length =
      20 + (static_cast<size_t>(process) * 7919 + static_cast<size_t>(number) * 104'729) % 9000;
  std::string record = fmt::format("{} {} {} ", process, number, length);
  record.append(length, static_cast<char>('a' + (process + number) % 26));
  return record + '\n';
}

class Append : public PosixTest {
 protected:
  // Each process appends its records, by a descriptor that `open` gives it.
  void AppendAll(const std::function<int()>& open) {
    std::vector<std::unique_ptr<Child>> children;
    children.reserve(kProcesses);
    for (int process = 0; process < kProcesses; ++process) {
      children.push_back(std::make_unique<Child>([&open, process] {
        const int fd = open();
        for (int i = 0; i < kRecords; ++i) {
          const std::string record = Record(process, i);
          ASSERT_EQ(write(fd, record.data(), record.size()), static_cast<ssize_t>(record.size()));
        }
      }));
    }
    for (const auto& child : children) EXPECT_TRUE(child->Succeeded());
  }

  // Every record is there, whole, and those of a process are in its order.
  void ExpectAllRecords() {
    const std::string log = ReadFile(Path("log"));
    std::array<int, kProcesses> next{};
    size_t at = 0;
    while (at < log.size()) {
      const auto process = static_cast<size_t>(log[at] - '0');
      ASSERT_LT(process, next.size()) << "at " << at;
      const std::string record = Record(static_cast<int>(process), next[process]++);
      ASSERT_EQ(log.compare(at, record.size(), record), 0)
          << "record " << next[process] - 1 << " of " << process << " at " << at;
      at += record.size();
    }
    for (const int count : next) EXPECT_EQ(count, kRecords);
    EXPECT_EQ(Stat(Path("log")).st_size, static_cast<off_t>(log.size()));
  }
};

TEST_F(Append, ByDescriptorsOfTheirOwn) {
  AppendAll([this] {
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    return open(Path("log").c_str(), flags, 0644);
  });
  ExpectAllRecords();
}

TEST_F(Append, ByOneDescriptionThatAllInherited) {
  const UniqueFd fd = Open(Path("log"), O_WRONLY | O_CREAT | O_APPEND);
  AppendAll([&] { return fd.get(); });
  ExpectAllRecords();
}

TEST_F(Append, WhileOthersLookAndMap) {
  WriteFile(Path("log"), "");
  // Else the onlooker may come first, and everything go through the daemon.
  const UniqueFd writer = Open(Path("log"), O_WRONLY | O_APPEND);
  Child onlooker([&] {
    // Sizes that are asked for, and pages that are mapped, all the time.
    const UniqueFd fd = Open(Path("log"), O_RDONLY);
    off_t size = 0;
    for (int i = 0; i < 2000; ++i) {
      const off_t now = Stat(fd.get()).st_size;
      ASSERT_GE(now, size);
      size = now;
      // Without passthrough the kernel tells the size that the daemon sees while a write is under way,
      // and takes it for its own, up to which pages can be touched, when that write has returned.
      if (size == 0 || ThroughDaemon()) continue;
      void* at = mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_SHARED, fd.get(), 0);
      ASSERT_NE(at, MAP_FAILED);
      EXPECT_NE(static_cast<const char*>(at)[size - 1], '\0') << "at the end, " << size;
      munmap(at, static_cast<size_t>(size));
    }
  });
  AppendAll([this] { return open(Path("log").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC); });
  EXPECT_EQ(onlooker.WaitStatus(), 0);
  ExpectAllRecords();
}

}  // namespace
}  // namespace ckptfs::testing
