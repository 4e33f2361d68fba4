// What gives a program power (set-user-id, set-group-id, file capabilities) is gone after each way of
// writing, whoever writes.
#include <linux/capability.h>
#include <linux/falloc.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#include <algorithm>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

constexpr char kXattr[] = "security.capability";

struct Way {
  const char* name;
  int flags;  // of the descriptor
  void (*write)(int fd, const std::string& source);
};

void Splice(int fd, const std::string& source) {
  const UniqueFd from = Open(source, O_RDONLY);
  std::array<int, 2> ends{};
  ASSERT_OK(pipe2(ends.data(), O_CLOEXEC));
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  ASSERT_EQ(splice(from.get(), nullptr, write_end.get(), nullptr, 100, 0), 100);
  EXPECT_EQ(splice(read_end.get(), nullptr, fd, nullptr, 100, 0), 100);
}

void WriteVector(int fd, const std::string&) {
  std::array<char, 2> bytes{'a', 'b'};
  const std::array<iovec, 2> parts = {
      {{.iov_base = bytes.data(), .iov_len = 1}, {.iov_base = bytes.data() + 1, .iov_len = 1}}};
  EXPECT_EQ(pwritev(fd, parts.data(), 2, 50), 2);
}

void WriteDirect(int fd, const std::string&) {
  PageBuffer buffer(1);
  std::fill_n(buffer.get(), kBlock, 'd');
  EXPECT_EQ(pwrite(fd, buffer.get(), kBlock, 0), ssize_t{kBlock});
}

void SendFile(int fd, const std::string& source) {
  const UniqueFd from = Open(source, O_RDONLY);
  EXPECT_EQ(sendfile(fd, from.get(), nullptr, 100), 100);
}

void CopyRange(int fd, const std::string& source) {
  const UniqueFd from = Open(source, O_RDONLY);
  off_t in = 0;
  off_t out = 0;
  EXPECT_EQ(copy_file_range(from.get(), &in, fd, &out, kBlock, 0), ssize_t{kBlock});
}

void Punch(int fd, const std::string&) {
  EXPECT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kBlock));
}

constexpr Way kWays[] = {
    {"write", O_RDWR, [](int fd, const std::string&) { WriteAt(fd, 0, "x"); }},
    {"write behind the end", O_RDWR, [](int fd, const std::string&) { WriteAt(fd, 50'000, "x"); }},
    {"append", O_WRONLY | O_APPEND, [](int fd, const std::string&) { WriteAt(fd, 0, "x"); }},
    {"pwritev", O_RDWR, WriteVector},
    {"direct write", O_RDWR | O_DIRECT, WriteDirect},
    {"synchronous write", O_RDWR | O_SYNC, [](int fd, const std::string&) { WriteAt(fd, 0, "x"); }},
    {"splice", O_RDWR, Splice},
    {"sendfile", O_RDWR, SendFile},
    {"copy_file_range", O_RDWR, CopyRange},
    {"ftruncate", O_RDWR, [](int fd, const std::string&) { EXPECT_OK(ftruncate(fd, 10)); }},
    {"fallocate", O_RDWR,
     [](int fd, const std::string&) { EXPECT_OK(fallocate(fd, 0, 0, 99'999)); }},
    {"punch", O_RDWR, Punch},
    {"open with O_TRUNC", O_RDWR | O_TRUNC, [](int, const std::string&) {}},
};

class FileCapabilities : public PosixTest {
 protected:
  void SetUp() override {
    PosixTest::SetUp();
    WriteFile(Path("source"), Pattern(3 * kBlock, 1));
  }
  std::string file() const { return Path("file"); }

  // A file that all may write, with all that a write takes away.
  void MakePowerful() const {
    unlink(file().c_str());
    WriteFile(file(), Pattern(3 * kBlock, 2));
    Chmod(file(), 06777);
    SetCapabilities();
  }
  void SetCapabilities() const {
    vfs_cap_data capabilities{};
    capabilities.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE;
    capabilities.data[0].permitted = 1U << CAP_NET_RAW;
    ASSERT_OK(setxattr(file().c_str(), kXattr, &capabilities, XATTR_CAPS_SZ_2, 0));
    // Asked for, so the kernel may remember it.
    EXPECT_EQ(getxattr(file().c_str(), kXattr, nullptr, 0), XATTR_CAPS_SZ_2);
  }
  void ExpectNoCapabilities(const char* after) const {
    EXPECT_ERRNO(ENODATA, getxattr(file().c_str(), kXattr, nullptr, 0)) << after;
  }
};

TEST_F(FileCapabilities, AnotherUsersWriteTakesAll) {
  for (const Way& way : kWays) {
    MakePowerful();
    EXPECT_TRUE(AsUser(kAlice, [&] { way.write(Open(file(), way.flags).get(), Path("source")); }))
        << way.name;
    ExpectNoCapabilities(way.name);
    EXPECT_EQ(Mode(file()), 0777U) << way.name;
  }
}

TEST_F(FileCapabilities, RootsWriteTakesTheCapabilitiesOnly) {
  for (const Way& way : kWays) {
    MakePowerful();
    way.write(Open(file(), way.flags).get(), Path("source"));
    ExpectNoCapabilities(way.name);
    // The kernel does not tell a daemon of FUSE who copies: ckptfs takes the bits to be safe.
    if (std::string_view(way.name) == "copy_file_range") continue;
    EXPECT_EQ(Mode(file()), 06777U) << way.name;
  }
}

TEST_F(FileCapabilities, AWriterThatWasThereBefore) {
  // Writes through a descriptor that had already written when the file was given its power.
  MakePowerful();
  const UniqueFd fd = Open(file(), O_RDWR);
  for (int round = 0; round < 20; ++round) {
    WriteAt(fd.get(), round, "x");
    ExpectNoCapabilities("a write of a descriptor that was open");
    SetCapabilities();
  }
}

TEST_F(FileCapabilities, ReadingTakesNothing) {
  MakePowerful();
  EXPECT_TRUE(AsUser(kAlice, [&] {
    const UniqueFd fd = Open(file(), O_RDWR);
    ReadAt(fd.get(), 0, 100);
    EXPECT_OK(fsync(fd.get()));
    EXPECT_OK(pwrite(fd.get(), "", 0, 0));
  }));
  EXPECT_EQ(getxattr(file().c_str(), kXattr, nullptr, 0), XATTR_CAPS_SZ_2);
  EXPECT_EQ(Mode(file()), 06777U);
}

}  // namespace
}  // namespace ckptfs::testing
