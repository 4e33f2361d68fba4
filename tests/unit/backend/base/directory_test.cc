#include "backend/base/directory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class DirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    MakeDirectory(directory_.fd(), "d");
    MakeDirectory(directory_.fd(), "d/below");
    const UniqueFd file(openat(directory_.fd(), "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    ASSERT_TRUE(file.valid());
    ASSERT_EQ(symlinkat("d", directory_.fd(), "link"), 0);
  }
  UniqueFd Open(const char* name) const {
    return UniqueFd(openat(directory_.fd(), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }

  const TestDirectory directory_;
};

TEST_F(DirectoryTest, AllNamesAreRead) {
  EXPECT_THAT(ReadDirectory(directory_.fd()), UnorderedElementsAre("d", "f", "link"));
  EXPECT_THAT(ReadDirectory(directory_.fd()), UnorderedElementsAre("d", "f", "link"))
      << "by a position of its own";
  EXPECT_THAT(ReadDirectory(Open("d/below").get()), IsEmpty());
  const UniqueFd file(openat(directory_.fd(), "f", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(ErrorOf([&] { ReadDirectory(file.get()); }).errno_value(), ENOTDIR);
}

TEST_F(DirectoryTest, AVisitEndsWhenItIsToldTo) {
  int visited = 0;
  ForEachEntry(Open("."), "look", [&](const dirent& /*entry*/) { return ++visited < 2; });
  EXPECT_EQ(visited, 2);
}

TEST_F(DirectoryTest, WhatHasANameIsThereWhateverItIs) {
  ASSERT_EQ(symlinkat("nowhere", directory_.fd(), "dangling"), 0);
  for (const char* name : {"d", "f", "link", "dangling"}) {
    EXPECT_TRUE(HasEntry(directory_.fd(), name)) << name;
  }
  EXPECT_FALSE(HasEntry(directory_.fd(), "none"));
  EXPECT_EQ(ErrorOf([&] { HasEntry(directory_.fd(), "f/none"); }).errno_value(), ENOTDIR);
}

TEST_F(DirectoryTest, OneIsTheSameByWhateverDescriptor) {
  EXPECT_TRUE(IsSameDirectory(Open("d").get(), Open("d/below/..").get()));
  EXPECT_FALSE(IsSameDirectory(Open("d").get(), directory_.fd()));
  EXPECT_FALSE(IsSameDirectory(Open("d").get(), -1));
}

TEST_F(DirectoryTest, OneThatIsMadeIsForRootAlone) {
  MakeDirectory(directory_.fd(), "d");  // it is there
  struct stat status {};
  ASSERT_EQ(fstatat(directory_.fd(), "d", &status, 0), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
  EXPECT_EQ(ErrorOf([&] { MakeDirectory(directory_.fd(), "none/d"); }).errno_value(), ENOENT);
}

TEST_F(DirectoryTest, ATreeIsRemovedAndNothingThatItsLinksLeadTo) {
  ASSERT_EQ(symlinkat("../f", directory_.fd(), "d/to-f"), 0);
  RemoveTree(directory_.fd(), "d");
  RemoveTree(directory_.fd(), "link");
  RemoveTree(directory_.fd(), "none");
  EXPECT_THAT(ReadDirectory(directory_.fd()), UnorderedElementsAre("f"));
}

TEST_F(DirectoryTest, ADirectoryOfTheStoreIsNoLink) {
  EXPECT_TRUE(TryOpenStoreSubdirectory(directory_.fd(), "d").valid());
  for (const char* name : {"link", "f", "none"}) {
    EXPECT_FALSE(TryOpenStoreSubdirectory(directory_.fd(), name).valid()) << name;
    const Error error =
        ErrorOf([&] { OpenStoreSubdirectory(directory_.fd(), name, "/there", "Mend it"); });
    EXPECT_EQ(error.errno_value(), ENOENT) << name;
    EXPECT_THAT(error.what(), HasSubstr("/there"));
    EXPECT_THAT(error.what(), HasSubstr("Mend it"));
  }
  EXPECT_TRUE(OpenStoreSubdirectory(directory_.fd(), "d", "/there", "Mend it").valid());
}

}  // namespace
}  // namespace ckptfs
