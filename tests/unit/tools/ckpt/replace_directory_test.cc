#include "tools/ckpt/replace_directory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "backend/base/error.h"
#include "catalog/trees/names.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs::cli {
namespace {

namespace fs = std::filesystem;

class ReplaceDirectoryTest : public ::testing::Test {
 protected:
  std::string Make(const std::string& name) {
    fs::create_directory(directory_.Path(name));
    WriteFileAt(directory_.fd(), name + "/f", "content");
    return directory_.Path(name);
  }
  std::set<std::string> Names() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_.path())) {
      names.insert(entry.path().filename());
    }
    return names;
  }
  static int ErrnoOf(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      return error.errno_value();
    }
    return 0;
  }

  TestDirectory directory_;
};

TEST_F(ReplaceDirectoryTest, PutsALinkThereAndKeepsTheDirectoryBeside) {
  const std::string path = Make("d");
  ReplaceableDirectory replaceable(path + "/");
  EXPECT_EQ(replaceable.name(), "d");
  EXPECT_EQ(Names(), std::set<std::string>{"d"}) << "what was tried out is left over";
  EXPECT_EQ(replaceable.ReplaceBySymlink("/somewhere"), "d.before-ckptfs");
  EXPECT_EQ(fs::read_symlink(path), "/somewhere");
  EXPECT_EQ(ReadFileAt(directory_.fd(), "d.before-ckptfs/f"), "content");
  EXPECT_EQ(Names(), (std::set<std::string>{"d", "d.before-ckptfs"}));
  replaceable.RemoveKept("d.before-ckptfs");
  EXPECT_EQ(Names(), std::set<std::string>{"d"});
}

TEST_F(ReplaceDirectoryTest, KeepsAnOriginalThatSomebodyHasWrittenTo) {
  const std::string path = Make("d");
  fs::create_directory(path + "/below");
  std::ofstream writer(path + "/below/open");
  ReplaceableDirectory replaceable(path);
  const std::string kept = replaceable.ReplaceBySymlink("/somewhere");
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // longer than a tick of its clock
  writer << "late" << std::flush;
  EXPECT_EQ(ErrnoOf([&] { replaceable.RemoveKept(kept); }), EBUSY);
  EXPECT_EQ(ReadFileAt(directory_.fd(), kept + "/below/open"), "late");
  EXPECT_EQ(ReadFileAt(directory_.fd(), kept + "/f"), "content");
}

TEST_F(ReplaceDirectoryTest, TakesTheNextNameThatIsFree) {
  Make("d.before-ckptfs");
  Make("d.before-ckptfs-2");
  ReplaceableDirectory replaceable(Make("d"));
  EXPECT_EQ(replaceable.ReplaceBySymlink("/somewhere"), "d.before-ckptfs-3");
  EXPECT_EQ(ReadFileAt(directory_.fd(), "d.before-ckptfs/f"), "content");
}

TEST_F(ReplaceDirectoryTest, FollowsSymlinksToTheDirectoryItself) {
  Make("real");
  fs::create_symlink("real", directory_.Path("link"));
  ReplaceableDirectory replaceable(directory_.Path("link"));
  EXPECT_EQ(replaceable.path(), fs::canonical(directory_.path()).string() + "/real");
  replaceable.ReplaceBySymlink("/somewhere");
  EXPECT_EQ(fs::read_symlink(directory_.Path("link")), "real");
  EXPECT_EQ(fs::read_symlink(directory_.Path("real")), "/somewhere");
}

TEST_F(ReplaceDirectoryTest, NoticesThatItWasReplacedMeanwhile) {
  ReplaceableDirectory replaceable(Make("d"));
  fs::rename(directory_.Path("d"), directory_.Path("elsewhere"));
  Make("d");
  EXPECT_EQ(ErrnoOf([&] { replaceable.ReplaceBySymlink("/somewhere"); }), ESTALE);
  EXPECT_EQ(Names(), (std::set<std::string>{"d", "elsewhere"}));
  EXPECT_TRUE(fs::is_directory(fs::symlink_status(directory_.Path("d"))));
}

TEST_F(ReplaceDirectoryTest, RefusesWhatCannotBeReplaced) {
  EXPECT_EQ(ErrnoOf([] { ReplaceableDirectory("/"); }), EINVAL);
  EXPECT_EQ(ErrnoOf([&] { ReplaceableDirectory(directory_.Path("none")); }), ENOENT);
  WriteFileAt(directory_.fd(), "file", "");
  EXPECT_EQ(ErrnoOf([&] { ReplaceableDirectory(directory_.Path("file")); }), ENOTDIR);
  EXPECT_EQ(ErrnoOf([] { ReplaceableDirectory("/proc"); }), EBUSY);
}

TEST(WithSuffix, CutsLongNamesAtACharacter) {
  EXPECT_EQ(WithSuffix("a", ".x"), "a.x");
  EXPECT_EQ(WithSuffix(std::string(255, 'a'), ".x"), std::string(253, 'a') + ".x");
  std::string umlauts;
  for (int i = 0; i < 127; ++i) umlauts += "ä";  // 254 bytes
  const std::string cut = WithSuffix(umlauts, ".x");
  EXPECT_EQ(cut.size(), 254U);
  EXPECT_TRUE(IsValidUtf8(cut));
}

}  // namespace
}  // namespace ckptfs::cli
