#include "backend/compare/diff_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ckptfs {
namespace {

using ::testing::ElementsAre;

class DiffListTest : public ::testing::Test {
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
  void Add(DiffKind kind, std::string_view path, std::string_view old_path = {}) {
    list_.Add(kind, Path(path), kind == DiffKind::kRenamed ? Path(old_path) : kNoPath, false);
  }
  std::vector<std::string> Lines() const {
    std::vector<std::string> lines;
    list_.ForEach([&lines](const DiffEntry& change) {
      lines.push_back("+-MR"[static_cast<int>(change.kind)] + (" " + change.old_path) + ">" +
                      change.path);
    });
    return lines;
  }

  FixedLimits limits_{size_t{1} << 20};
  DiffList list_{limits_};
};

TEST_F(DiffListTest, IsSortedByPathAndStep) {
  Add(DiffKind::kModified, "b/c");
  Add(DiffKind::kAdded, "b-");
  Add(DiffKind::kModified, "b");
  Add(DiffKind::kAdded, "a");
  Add(DiffKind::kRenamed, "b", "x");
  Add(DiffKind::kRemoved, "a");
  Add(DiffKind::kModified, "");
  list_.Sort();
  EXPECT_THAT(Lines(), ElementsAre("M >", "- >a", "+ >a", "R x>b", "M >b", "+ >b-", "M >b/c"));
}

TEST_F(DiffListTest, InvertsChangesUnderRenamedDirectories) {
  Add(DiffKind::kRenamed, "new", "old");
  Add(DiffKind::kModified, "new/file");
  Add(DiffKind::kRenamed, "new/sub", "old/was");
  Add(DiffKind::kModified, "new/sub/x");
  Add(DiffKind::kModified, "newer");
  list_.Sort();
  list_.Invert();
  EXPECT_THAT(Lines(), ElementsAre("M >newer", "R new>old", "M >old/file", "R new/sub>old/was",
                                   "M >old/was/x"));
}

TEST_F(DiffListTest, InvertsWhatTookAnothersPlace) {
  Add(DiffKind::kRemoved, "a");
  Add(DiffKind::kAdded, "a");
  Add(DiffKind::kModified, "m");
  list_.Sort();
  list_.Invert();
  EXPECT_THAT(Lines(), ElementsAre("+ >a", "- >a", "M >m"));
}

}  // namespace
}  // namespace ckptfs
