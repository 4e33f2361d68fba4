#include "backend/btrfs/stream_replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "backend/base/error.h"
#include "tests/unit/backend/comparisons.h"

namespace ckptfs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using enum SendOperation;

SendCommand Command(SendOperation operation, std::string_view path) {
  return {.operation = operation, .path = path};
}
SendCommand Rename(std::string_view from, std::string_view to) {
  return {.operation = kRename, .path = from, .path_to = to};
}
SendCommand Link(std::string_view path, std::string_view target) {
  return {.operation = kLink, .path = path, .path_link = target};
}

// What a stream says, in paths.
struct Replayed {
  struct Touched {
    std::string old_path, new_path;
    bool contents;
  };
  std::vector<std::string> lost, gained;  // sorted
  std::vector<Touched> touched;
};

Replayed Replay(const std::vector<SendCommand>& commands) {
  StreamReplay replay(NoLimits());
  for (const SendCommand& command : commands) replay.Apply(command);
  const NameChanges changes = replay.Finish();
  const auto text = [&changes](PathId path) {
    return path == kNoPath ? "?" : changes.paths->Text(path);
  };
  Replayed replayed;
  for (const PathId path : changes.lost) replayed.lost.push_back(text(path));
  for (const GainedName& name : changes.gained) {
    replayed.gained.push_back(text(name.path) + " at " + text(name.place) + " from " +
                              text(name.moved_from));
  }
  for (const TouchedFile& file : changes.touched) {
    replayed.touched.push_back({text(file.old_path), text(file.new_path), file.contents});
  }
  std::sort(replayed.lost.begin(), replayed.lost.end());
  std::sort(replayed.gained.begin(), replayed.gained.end());
  return replayed;
}

TEST(StreamReplayTest, ANewFileIsMadeUnderATemporaryName) {
  const Replayed changes = Replay({Command(kMakeFile, "o-258-9-0"), Rename("o-258-9-0", "d/a"),
                                   Command(kSetTimes, "d/a"), Command(kSetTimes, "d")});
  EXPECT_THAT(changes.lost, IsEmpty());
  EXPECT_THAT(changes.gained, ElementsAre("d/a at d/a from ?"));
  ASSERT_EQ(changes.touched.size(), 1u);
  EXPECT_EQ(changes.touched[0].old_path, "d");
}

TEST(StreamReplayTest, AnOrphanIsFollowedThroughItsParentsMove) {
  const Replayed changes =
      Replay({Rename("x/f", "o-300-8-0"), Rename("x", "y"), Rename("o-300-8-0", "y/g"),
              Command(kUpdateExtent, "y/g"), Command(kUnlink, "y/gone")});
  EXPECT_THAT(changes.lost, ElementsAre("x", "x/f", "x/gone"));
  EXPECT_THAT(changes.gained, ElementsAre("y at y from x", "y/g at x/g from x/f"));
  ASSERT_EQ(changes.touched.size(), 1u);
  EXPECT_EQ(changes.touched[0].old_path, "x/f");
  EXPECT_EQ(changes.touched[0].new_path, "y/g");
  EXPECT_TRUE(changes.touched[0].contents);
}

TEST(StreamReplayTest, HomeAgain) {
  const Replayed changes = Replay({Rename("a/f", "t"), Rename("a", "b"), Rename("b/g", "b/h"),
                                   Rename("b/h", "b/g"), Rename("b", "a"), Rename("t", "a/f")});
  EXPECT_THAT(changes.lost, IsEmpty());
  EXPECT_THAT(changes.gained, IsEmpty());
}

TEST(StreamReplayTest, ALinkStandsForTheOlderFile) {
  const Replayed changes = Replay({Link("b", "a"), Command(kUnlink, "a"), Command(kTruncate, "b")});
  EXPECT_THAT(changes.lost, ElementsAre("a"));
  EXPECT_THAT(changes.gained, ElementsAre("b at b from ?"));
  ASSERT_EQ(changes.touched.size(), 1u);
  EXPECT_EQ(changes.touched[0].old_path, "a");
}

TEST(StreamReplayTest, ChildrenOfANewDirectoryHaveNoPlace) {
  const Replayed changes = Replay({Rename("d", "o-1-1-0"), Command(kUnlink, "o-1-1-0/f"),
                                   Command(kRemoveDirectory, "o-1-1-0"),
                                   Command(kMakeDirectory, "d"), Command(kMakeFile, "d/f")});
  EXPECT_THAT(changes.lost, ElementsAre("d", "d/f"));
  EXPECT_THAT(changes.gained, ElementsAre("d at d from ?", "d/f at ? from ?"));
}

TEST(StreamReplayTest, ContradictionsAreRefused) {
  EXPECT_THROW(Replay({Command(kUnlink, "a"), Command(kSetTimes, "a")}), Error);
  EXPECT_THROW(Replay({Command(kMakeFile, "a"), Command(kMakeFile, "a")}), Error);
  EXPECT_THROW(Replay({Command(kMakeDirectory, "a"), Command(kSetTimes, "a/b")}), Error);
  EXPECT_THROW(Replay({Command(kMakeDirectory, "a"), Command(kMakeFile, "a/b"),
                       Command(kRemoveDirectory, "a")}),
               Error);
  EXPECT_THROW(Replay({Command(kUnlink, "")}), Error);
  EXPECT_THROW(Replay({Rename("a", "a/b")}), Error);
  for (const char* path : {"..", "a/../b", "./a", "a//b", "/a", "a/"}) {
    EXPECT_THROW(Replay({Command(kMakeFile, path)}), Error) << path;
  }
}

}  // namespace
}  // namespace ckptfs
