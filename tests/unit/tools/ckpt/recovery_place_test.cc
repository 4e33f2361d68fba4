#include "tools/ckpt/recovery_place.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <set>

#include "backend/base/error.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs::cli {
namespace {

namespace fs = std::filesystem;

class RecoveryPlaceTest : public ::testing::Test {
 protected:
  RecoveryPlaceTest() { fs::create_symlink(kTarget, Path("w")); }

  static constexpr const char* kTarget = "/nowhere/w";
  static constexpr const char* kWork = ".w.ckptfs-recover";

  std::string Path(const std::string& name) const { return directory_.Path(name); }
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
  RecoveryMark Mark() const {
    return {.name = "w", .link = kTarget, .workspace = "w", .snapshot = "s", .snapshot_id = "1"};
  }
  // Begins a copy, with a file in it.
  std::unique_ptr<RecoveryPlace> Begin() {
    auto place = std::make_unique<RecoveryPlace>(Path("w"));
    EXPECT_EQ(place->TakeOver(), std::nullopt);
    const UniqueFd copy = place->BeginCopy(Mark());
    WriteFileAt(copy.get(), "file", "content");
    return place;
  }
  bool IsLink() const { return fs::is_symlink(fs::symlink_status(Path("w"))); }

  TestDirectory directory_;
};

TEST_F(RecoveryPlaceTest, PutsTheCopyInThePlaceOfTheSymlink) {
  const auto place = Begin();
  EXPECT_TRUE(IsLink());
  EXPECT_EQ(fs::status(Path(kWork)).permissions(), fs::perms::owner_all);
  place->Exchange();
  EXPECT_TRUE(place->IsExchanged());
  EXPECT_EQ(ReadFileAt(directory_.fd(), "w/file"), "content");
  EXPECT_EQ(fs::read_symlink(Path(kWork) + "/copy"), kTarget);
  place->RemoveWork();
  EXPECT_EQ(Names(), std::set<std::string>{"w"});
}

TEST_F(RecoveryPlaceTest, TheNextRunRemovesAHalfMadeCopy) {
  Begin();  // and its lock is given away, as by a kill
  RecoveryPlace next(Path("w"));
  EXPECT_EQ(next.TakeOver(), std::nullopt);
  EXPECT_EQ(Names(), std::set<std::string>{"w"});
  EXPECT_TRUE(IsLink());
}

TEST_F(RecoveryPlaceTest, TheNextRunGoesOnAfterTheExchange) {
  Begin()->Exchange();
  RecoveryPlace next(Path("w"));
  const auto mark = next.TakeOver();
  ASSERT_TRUE(mark);
  EXPECT_EQ(mark->snapshot, "s");
  EXPECT_EQ(ReadFileAt(directory_.fd(), "w/file"), "content");
  next.RemoveWork();
  EXPECT_EQ(Names(), std::set<std::string>{"w"});
  EXPECT_EQ(ReadFileAt(directory_.fd(), "w/file"), "content");
}

TEST_F(RecoveryPlaceTest, ADirectoryThatWasMovedSinceIsNotTouched) {
  Begin()->Exchange();
  fs::rename(Path("w"), Path("elsewhere"));
  fs::create_symlink(kTarget, Path("w"));
  RecoveryPlace next(Path("w"));
  EXPECT_EQ(next.TakeOver(), std::nullopt);
  EXPECT_EQ(Names(), (std::set<std::string>{"elsewhere", "w"}));
  EXPECT_EQ(ReadFileAt(directory_.fd(), "elsewhere/file"), "content");
}

TEST_F(RecoveryPlaceTest, OneAtATime) {
  const auto first = Begin();
  RecoveryPlace second(Path("w"));
  EXPECT_EQ(ErrnoOf([&] { second.TakeOver(); }), EBUSY);
  first->Exchange();
  EXPECT_EQ(ErrnoOf([&] { second.TakeOver(); }), EBUSY);
  first->RemoveWork();
  EXPECT_EQ(second.TakeOver(), std::nullopt);
}

TEST_F(RecoveryPlaceTest, NothingElseIsRemoved) {
  const auto is_in_the_way = [&] {
    RecoveryPlace place(Path("w"));
    return ErrnoOf([&] { place.TakeOver(); }) == EEXIST;
  };
  fs::create_directory(Path(kWork));
  WriteFileAt(directory_.fd(), std::string(kWork) + "/file", "mine");
  EXPECT_TRUE(is_in_the_way()) << "without a mark";
  WriteFileAt(directory_.fd(), std::string(kWork) + "/mark", "mine");
  EXPECT_TRUE(is_in_the_way()) << "with another mark";
  EXPECT_EQ(ReadFileAt(directory_.fd(), std::string(kWork) + "/file"), "mine");
  fs::remove_all(Path(kWork));
  WriteFileAt(directory_.fd(), kWork, "mine");
  EXPECT_TRUE(is_in_the_way()) << "a file";
  fs::remove(Path(kWork));
  fs::create_directory_symlink(Path("elsewhere"), Path(kWork));
  EXPECT_TRUE(is_in_the_way()) << "a symlink";
}

TEST_F(RecoveryPlaceTest, WhatCameThereAtTheLastMomentIsKept) {
  Begin();
  const std::string copy = Path(kWork) + "/copy";
  fs::rename(copy, Path("away"));
  fs::create_directory(copy);
  WriteFileAt(directory_.fd(), std::string(kWork) + "/copy/file", "mine");
  RecoveryPlace next(Path("w"));
  EXPECT_EQ(ErrnoOf([&] { next.TakeOver(); }), EEXIST);
  EXPECT_EQ(ReadFileAt(directory_.fd(), std::string(kWork) + "/copy/file"), "mine");
}

TEST_F(RecoveryPlaceTest, ExchangesBackWhatIsNotTheSymlink) {
  const auto place = Begin();
  fs::remove(Path("w"));
  fs::create_directory(Path("w"));
  WriteFileAt(directory_.fd(), "w/file", "mine");
  EXPECT_EQ(ErrnoOf([&] { place->Exchange(); }), ESTALE);
  EXPECT_FALSE(place->IsExchanged());
  EXPECT_EQ(ReadFileAt(directory_.fd(), "w/file"), "mine");
  place->RemoveWork();
  EXPECT_EQ(Names(), std::set<std::string>{"w"});
}

TEST_F(RecoveryPlaceTest, RefusesPathsThatAreNoSymlink) {
  fs::create_directory(Path("d"));
  EXPECT_EQ(ErrnoOf([&] { RecoveryPlace(Path("d")).ReadLink(); }), EINVAL);
  EXPECT_EQ(ErrnoOf([&] { RecoveryPlace(Path("none")).ReadLink(); }), ENOENT);
  EXPECT_EQ(ErrnoOf([&] { RecoveryPlace(Path("none/w")); }), ENOENT);
  EXPECT_EQ(ErrnoOf([] { RecoveryPlace("/"); }), EINVAL);
  EXPECT_EQ(ErrnoOf([] { RecoveryPlace("a/.."); }), EINVAL);
  EXPECT_EQ(RecoveryPlace(Path("w") + "//").ReadLink(), kTarget);
}

TEST_F(RecoveryPlaceTest, NamesThatBeginAlikeAreToldApart) {
  const std::string long_name(255, 'a');
  std::string other = long_name;
  other.back() = 'b';
  fs::create_symlink(kTarget, Path(long_name));
  fs::create_symlink(kTarget, Path(other));
  RecoveryMark mark = Mark();
  mark.name = long_name;
  {
    RecoveryPlace place(Path(long_name));
    place.BeginCopy(mark);
    place.Exchange();
  }
  EXPECT_EQ(ErrnoOf([&] { RecoveryPlace(Path(other)).TakeOver(); }), EEXIST);
  EXPECT_TRUE(RecoveryPlace(Path(long_name)).TakeOver());
}

}  // namespace
}  // namespace ckptfs::cli
