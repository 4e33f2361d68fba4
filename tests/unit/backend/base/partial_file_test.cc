#include "backend/base/partial_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <future>
#include <iostream>
#include <string>

#include "backend/base/directory.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class PartialFileTest : public testing::Test {
 protected:
  std::string Content(const std::string& name) const {
    const UniqueFd file(openat(directory_.fd(), name.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 64> text{};
    const ssize_t size = CheckSyscall(read(file.get(), text.data(), text.size()), "read " + name);
    return {text.data(), static_cast<size_t>(size)};
  }
  void Make(const std::string& name) const {
    const UniqueFd file(CheckSyscall(
        openat(directory_.fd(), name.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600), "make it"));
  }
  static bool IsOneLetter(std::string_view name) { return name.size() == 1; }
  std::vector<std::string> Names() const { return ReadDirectory(directory_.fd()); }

  const TestDirectory directory_;
};

TEST_F(PartialFileTest, HasItsNameWhenItIsKept) {
  PartialFile file(directory_.fd(), "a");
  file.Write("one ");
  file.Write("two");
  EXPECT_THAT(Names(), ElementsAre(file.partial_name()));
  file.Keep();
  EXPECT_THAT(Names(), ElementsAre("a"));
  EXPECT_EQ(Content("a"), "one two");
}

TEST_F(PartialFileTest, IsRemovedIfItIsNotKept) {
  { PartialFile(directory_.fd(), "a").Write("something"); }
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(PartialFileTest, NeverTakesThePlaceOfAnother) {
  PartialFile(directory_.fd(), "a").Keep();
  {
    PartialFile second(directory_.fd(), "a");
    second.Write("second");
    EXPECT_EQ(ErrorOf([&] { second.Keep(); }).errno_value(), EEXIST);
  }
  EXPECT_THAT(Names(), ElementsAre("a"));
  EXPECT_EQ(Content("a"), "");
}

TEST_F(PartialFileTest, TakesThePlaceOfOneThatADeadProcessHasLeft) {
  PartialFile left(directory_.fd(), "a");
  left.Write("of the dead");
  PartialFile next(directory_.fd(), "a");
  next.Write("new");
  next.Keep();
  EXPECT_EQ(Content("a"), "new");
}

TEST_F(PartialFileTest, WhatIsLeftOverIsRemovedAndNothingElse) {
  Make("a.partial");
  Make("b.partial");
  Make("partial");
  Make("a.partial.json");
  Make("film.mkv.partial");
  RemovePartialFiles(directory_.fd(), IsOneLetter);
  EXPECT_THAT(Names(),
              testing::UnorderedElementsAre("partial", "a.partial.json", "film.mkv.partial"));
}

TEST_F(PartialFileTest, WhatIsBeingWrittenIsNotFoundUnfinished) {
  Make("a.partial");
  Make("film.mkv.partial");
  PartialFile written(directory_.fd(), "b");
  const auto found = FindPartialFiles(directory_.fd(), IsOneLetter);
  ASSERT_THAT(found, testing::SizeIs(1));
  EXPECT_EQ(found[0].name, "a.partial");
  EXPECT_FALSE(RemoveUnfinishedFile(directory_.fd(), "b.partial"));
  EXPECT_TRUE(RemoveUnfinishedFile(directory_.fd(), "a.partial"));
  EXPECT_FALSE(RemoveUnfinishedFile(directory_.fd(), "a.partial"));
  written.Keep();
  EXPECT_THAT(Names(), testing::UnorderedElementsAre("b", "film.mkv.partial"));
}

// While a program that was killed still has it open through a loop device, say.
TEST_F(PartialFileTest, IsUnfinishedOnceItsLastDescriptorIsClosed) {
  Make("a.partial");
  UniqueFd writer(openat(directory_.fd(), "a.partial", O_RDWR | O_CLOEXEC));
  MarkBeingWritten(writer.get());
  UniqueFd second(dup(writer.get()));
  writer.Reset();
  EXPECT_FALSE(FindUnfinishedFile(directory_.fd(), "a.partial"));
  second.Reset();
  EXPECT_TRUE(FindUnfinishedFile(directory_.fd(), "a.partial"));
}

// Who removes unfinished files may see one that has just been created and not been marked yet. (Names are not
// used again, as those of volumes and templates.)
TEST_F(PartialFileTest, IsNotTakenForUnfinishedWhileItIsMade) {
  constexpr int kFiles = 500;
  std::atomic<bool> made{false};
  auto removed = std::async(std::launch::async, [&] {
    int count = 0;
    while (!made) {
      for (const auto& file : FindPartialFiles(directory_.fd(), [](auto) { return true; })) {
        count += RemoveUnfinishedFile(directory_.fd(), file.name) ? 1 : 0;
      }
    }
    return count;
  });
  for (int i = 0; i < kFiles; ++i) {
    const std::string name = std::to_string(i);
    PartialFile file(directory_.fd(), name);
    EXPECT_NO_THROW(file.Keep());
    unlinkat(directory_.fd(), name.c_str(), 0);
  }
  made = true;
  std::cout << removed.get() << " were removed before they were marked\n";
}

TEST_F(PartialFileTest, ALinkIsNoUnfinishedFile) {
  ASSERT_EQ(symlinkat("elsewhere", directory_.fd(), "a.partial"), 0);
  EXPECT_FALSE(FindUnfinishedFile(directory_.fd(), "a.partial"));
  EXPECT_FALSE(RemoveUnfinishedFile(directory_.fd(), "a.partial"));
}

TEST_F(PartialFileTest, IsNotMadeBehindALink) {
  ASSERT_EQ(symlinkat("elsewhere", directory_.fd(), "a.partial"), 0);
  PartialFile file(directory_.fd(), "a");
  file.Keep();
  EXPECT_THAT(Names(), ElementsAre("a"));
}

}  // namespace
}  // namespace ckptfs
