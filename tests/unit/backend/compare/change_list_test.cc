#include "backend/compare/change_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ckptfs {
namespace {

using ::testing::ElementsAre;

class ChangeListTest : public ::testing::Test {
 protected:
  PathId Path(std::string_view path) {
    PathId at = kRootPath;
    while (!path.empty()) {
      const std::string_view name = path.substr(0, path.find('/'));
      at = list_.paths().Child(at, name);
      path.remove_prefix(std::min(path.size(), name.size() + 1));
    }
    return at;
  }
  void Add(ChangeKind kind, std::string_view path, std::string_view old_path = {}) {
    list_.Add(kind, Path(path), kind == ChangeKind::kRenamed ? Path(old_path) : kNoPath, false);
  }
  std::vector<std::string> Lines() const {
    std::vector<std::string> lines;
    list_.ForEach([&lines](const Change& change) {
      lines.push_back("+-MR"[static_cast<int>(change.kind)] + (" " + change.old_path) + ">" +
                      change.path);
    });
    return lines;
  }

  FixedLimits limits_{size_t{1} << 20};
  ChangeList list_{limits_};
};

TEST_F(ChangeListTest, IsSortedByPathAndStep) {
  Add(ChangeKind::kModified, "b/c");
  Add(ChangeKind::kAdded, "b-");
  Add(ChangeKind::kModified, "b");
  Add(ChangeKind::kAdded, "a");
  Add(ChangeKind::kRenamed, "b", "x");
  Add(ChangeKind::kRemoved, "a");
  Add(ChangeKind::kModified, "");
  list_.Sort();
  EXPECT_THAT(Lines(), ElementsAre("M >", "- >a", "+ >a", "R x>b", "M >b", "+ >b-", "M >b/c"));
}

TEST_F(ChangeListTest, InvertsChangesUnderRenamedDirectories) {
  Add(ChangeKind::kRenamed, "new", "old");
  Add(ChangeKind::kModified, "new/file");
  Add(ChangeKind::kRenamed, "new/sub", "old/was");
  Add(ChangeKind::kModified, "new/sub/x");
  Add(ChangeKind::kModified, "newer");
  list_.Sort();
  list_.Invert();
  EXPECT_THAT(Lines(), ElementsAre("M >newer", "R new>old", "M >old/file", "R new/sub>old/was",
                                   "M >old/was/x"));
}

TEST_F(ChangeListTest, InvertsWhatTookAnothersPlace) {
  Add(ChangeKind::kRemoved, "a");
  Add(ChangeKind::kAdded, "a");
  Add(ChangeKind::kModified, "m");
  list_.Sort();
  list_.Invert();
  EXPECT_THAT(Lines(), ElementsAre("+ >a", "- >a", "M >m"));
}

}  // namespace
}  // namespace ckptfs
