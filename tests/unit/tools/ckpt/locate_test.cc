#include "tools/ckpt/locate.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/base/error.h"
#include "backend/base/proc_path.h"

namespace ckptfs::cli {
namespace {

std::vector<std::string> Mountpoints(const std::string& text) {
  const UniqueFd file(memfd_create("mountinfo", MFD_CLOEXEC));
  EXPECT_EQ(write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  std::vector<std::string> paths;
  for (const Mount& mount : OwnMounts(ProcPath(file.get()).c_str())) paths.push_back(mount.target);
  return paths;
}

TEST(OwnMounts, FindsOursAmongOthers) {
  EXPECT_THAT(
      Mountpoints("22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
                  "90 22 0:42 / /mnt/ckpt rw,nosuid - fuse.ckptfs /var/lib/ckptfs rw,user_id=0\n"
                  "91 22 0:43 / /mnt/other rw - fuse.sshfs host: rw\n"
                  "92 22 0:44 / /mnt/tagged rw shared:5 master:3 - fuse.ckptfs - rw\n"),
      ::testing::ElementsAre("/mnt/ckpt", "/mnt/tagged"));
}

TEST(OwnMounts, UndoesTheKernelsEscapes) {
  EXPECT_THAT(Mountpoints("90 22 0:42 / /mnt/a\\040b\\011c\\134d rw - fuse.ckptfs s rw\n"),
              ::testing::ElementsAre("/mnt/a b\tc\\d"));
}

TEST(OwnMounts, LeavesOutBindMountsOfWhatIsThereInWhole) {
  EXPECT_THAT(Mountpoints("90 22 0:42 /proj /work rw - fuse.ckptfs s rw\n"
                          "91 22 0:42 / /mnt/ckpt rw - fuse.ckptfs s rw\n"
                          "92 22 0:42 / /mnt/again rw - fuse.ckptfs s rw\n"
                          "93 22 0:50 /only /part rw - fuse.ckptfs s rw\n"),
              ::testing::ElementsAre("/mnt/ckpt", "/part"));
}

TEST(OwnMounts, SurvivesLinesThatAreNone) {
  EXPECT_THAT(Mountpoints("\n- - -\na b c d e f g h\n1 2 0:1 / /m rw -\n1 2 0:1 / /m rw - x\n"),
              ::testing::IsEmpty());
}

TEST(IsPath, IsWhatHasASlashOrIsDots) {
  EXPECT_TRUE(IsPath("."));
  EXPECT_TRUE(IsPath(".."));
  EXPECT_TRUE(IsPath("./w"));
  EXPECT_TRUE(IsPath("/mnt/w"));
  EXPECT_FALSE(IsPath("w"));
  EXPECT_FALSE(IsPath("..."));
}

TEST(FindLocation, IsEmptyOutsideOfAnyMount) {
  const UniqueFd directory(open("/proc/self", O_PATH | O_DIRECTORY));
  EXPECT_FALSE(FindLocation(directory.get()).has_value());
}

}  // namespace
}  // namespace ckptfs::cli
