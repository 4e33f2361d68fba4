// Directories that callers of the control file have taken in.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>

#include "tests/unit/fs/control/control_fixture.h"

namespace ckptfs {
namespace {

using ::testing::IsEmpty;
using wire::Json;

class ControlImportTest : public ControlTest {
 protected:
  Json Args(int fd, const std::string& name = "taken") {
    struct stat info {};
    EXPECT_EQ(fstat(fd, &info), 0);
    return {{"name", name},
            {"fd", static_cast<uint64_t>(fd)},
            {"device", uint64_t{info.st_dev}},
            {"inode", uint64_t{info.st_ino}}};
  }
};

TEST_F(ControlImportTest, TakesInADirectoryOfTheCaller) {
  const TestDirectory source;
  WriteFileAt(source.fd(), "f", "content");
  const Outcome taken = Ask(Root(), "import", Args(source.fd()));
  EXPECT_EQ(taken.result["workspace"], "taken") << taken.error;
  EXPECT_EQ(taken.result["files"], 1);
  EXPECT_EQ(taken.result["copied_bytes"], 7);
  EXPECT_GE(taken.progress_lines, 1);
  EXPECT_EQ(Read(Workspace("taken").volume), "content");
  EXPECT_EQ(Ask(Root(), "import", Args(source.fd())).error_number(), EEXIST);
}

TEST_F(ControlImportTest, IsForRootWithADescriptorThatIsTheirs) {
  const TestDirectory source;
  EXPECT_EQ(Ask(User("", true), "import", Args(source.fd())).error_number(), EOPNOTSUPP);
  Json other = Args(source.fd());
  other["inode"] = 1U;
  EXPECT_EQ(Ask(Root(), "import", other).error_number(), EOPNOTSUPP);
  ControlCaller unseen = Root();
  unseen.pid = 0;  // of a PID namespace beside the daemon's
  EXPECT_EQ(Ask(unseen, "import", Args(source.fd())).error_number(), EOPNOTSUPP);
  EXPECT_THAT(store().rows().ListWorkspaces(), IsEmpty());
}

TEST_F(ControlImportTest, LeavesNothingBehindWhenItFails) {
  const TestDirectory source;
  WriteFileAt(source.fd(), "f", "content");
  WriteFileAt(source.fd(), ".snapshots", "mine");
  const size_t volumes = store().backend().List().size();
  EXPECT_EQ(Ask(Root(), "import", Args(source.fd())).error_number(), EPERM);
  EXPECT_THAT(store().rows().ListWorkspaces(), IsEmpty());
  EXPECT_EQ(store().backend().List().size(), volumes);
  EXPECT_EQ(
      Ask(Root(), "import", Args(open(StorePath().c_str(), O_RDONLY | O_DIRECTORY))).error_number(),
      ELOOP);
}

TEST_F(ControlImportTest, IsGivenUpWhenTheCallerGoes) {
  const TestDirectory source;
  for (int i = 0; i < 50; ++i) WriteFileAt(source.fd(), std::to_string(i), "content");
  {
    const auto session = server_->Open(Root());
    session->Append(Json{{"command", "import"}, {"args", Args(source.fd())}}.dump());
    session->Run();
  }
  server_.reset();  // waits for it
  EXPECT_THAT(store().rows().ListWorkspaces(), IsEmpty());
  ExpectSound();
}

}  // namespace
}  // namespace ckptfs
