// Set-user-id, set-group-id and sticky bits, and file capabilities.
#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class SetId : public PosixTest {
 protected:
  void SetUp() override {
    PosixTest::SetUp();
    WriteFile(Path("file"), "some content");
  }
  std::string file() const { return Path("file"); }

  // Gives the file the mode, lets a user who is neither owner nor in the group act, and returns the
  // mode afterwards.
  mode_t AfterAlice(mode_t mode, const std::function<void()>& act) const {
    Chmod(file(), mode);
    EXPECT_TRUE(AsUser(kAlice, act));
    return Mode(file());
  }
  mode_t AfterRoot(mode_t mode, const std::function<void()>& act) const {
    Chmod(file(), mode);
    act();
    return Mode(file());
  }
  void Write() const {
    const UniqueFd fd = Open(file(), O_WRONLY);
    WriteAt(fd.get(), 0, "x");
  }
};

TEST_F(SetId, AnotherUsersWriteClears) {
  const auto write = [this] { Write(); };
  EXPECT_EQ(AfterAlice(04777, write), 0777U);
  EXPECT_EQ(AfterAlice(02777, write), 0777U);
  EXPECT_EQ(AfterAlice(06777, write), 0777U);
  EXPECT_EQ(AfterAlice(04666, write), 0666U);
  EXPECT_EQ(AfterAlice(01777, write), 01777U);
}

TEST_F(SetId, EveryWayToWriteClears) {
  const auto with_fd = [this](const std::function<void(int)>& act) {
    return AfterAlice(06777, [&] {
      const UniqueFd fd = Open(file(), O_RDWR);
      act(fd.get());
    });
  };
  EXPECT_EQ(with_fd([](int fd) { EXPECT_OK(ftruncate(fd, 3)); }), 0777U);
  EXPECT_EQ(with_fd([](int fd) { EXPECT_OK(fallocate(fd, 0, 0, 8192)); }), 0777U);
  EXPECT_EQ(with_fd([](int fd) {
              EXPECT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
            }),
            0777U);
  EXPECT_EQ(with_fd([](int fd) { EXPECT_OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4096)); }),
            0777U);
  EXPECT_EQ(with_fd([](int fd) {
              off_t from = 0;
              off_t to = 100;
              EXPECT_EQ(copy_file_range(fd, &from, fd, &to, 10, 0), 10);
            }),
            0777U);
  EXPECT_EQ(AfterAlice(06777, [this] { EXPECT_OK(truncate(file().c_str(), 5)); }), 0777U);
  EXPECT_EQ(AfterAlice(06777, [this] { Open(file(), O_WRONLY | O_TRUNC); }), 0777U);
}

// A way to write to a file that is there, by a user who may.
struct WayToWrite {
  const char* name;
  std::function<void(const std::string& path)> write;
};

std::vector<WayToWrite> WaysToWrite() {
  const auto by_fd = [](int flags, const std::function<void(int)>& act) {
    return [=](const std::string& path) {
      const UniqueFd fd = Open(path, O_WRONLY | flags);
      act(fd.get());
    };
  };
  return {
      {"write", by_fd(0, [](int fd) { WriteAt(fd, 0, "x"); })},
      {"append", by_fd(O_APPEND, [](int fd) { EXPECT_EQ(write(fd, "x", 1), 1); })},
      {"a large write", by_fd(0, [](int fd) { WriteAt(fd, 100, std::string(300'000, 'x')); })},
      {"truncate", [](const std::string& path) { EXPECT_OK(truncate(path.c_str(), 3)); }},
      {"ftruncate", by_fd(0, [](int fd) { EXPECT_OK(ftruncate(fd, 3)); })},
      {"O_TRUNC", by_fd(O_TRUNC, [](int) {})},
      {"fallocate", by_fd(0, [](int fd) { EXPECT_OK(fallocate(fd, 0, 0, 9000)); })},
      {"a hole", by_fd(0,
                       [](int fd) {
                         EXPECT_OK(
                             fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
                       })},
      {"copy_file_range",
       [](const std::string& path) {
         const UniqueFd other = Open(path + ".source", O_RDONLY);
         const UniqueFd to = Open(path, O_WRONLY);
         off_t begin = 0;
         off_t end = 50;
         EXPECT_EQ(copy_file_range(other.get(), &begin, to.get(), &end, 6, 0), 6);
       }},
  };
}

// Who writes to a file of Alice's and the team's.
struct Writer {
  const char* name = "";
  User user;
  bool is_in_group = false;
  mode_t permission = 0;  // that the writer needs
};
const std::array<Writer, 6> kWriters{{
    {"root", {}, false, 0},
    {"the owner, in the group", {kAlice.uid, kAlice.gid, {1, kTeam}}, true, 0200},
    {"the owner, in the group first of all", {kAlice.uid, kTeam, {}}, true, 0200},
    {"the owner, not in the group", kAlice, false, 0200},
    {"another, in the group", {kBob.uid, kBob.gid, {kTeam}}, true, 0020},
    {"another, not in the group", kBob, false, 0002},
}};

// setattr_should_drop_suidgid in the kernel; native filesystems show that it is so.
mode_t AfterWriteBy(const Writer& writer, mode_t mode) {
  if (writer.user.uid == 0) return mode;
  mode &= ~mode_t{S_ISUID};
  if ((mode & S_ISGID) != 0 && ((mode & S_IXGRP) != 0 || !writer.is_in_group))
    mode &= ~mode_t{S_ISGID};
  return mode;
}

class SetIdOfEveryWriter : public SetId, public ::testing::WithParamInterface<size_t> {
 protected:
  // A file of that size with that mode that nobody has opened yet.
  void MakeFile(mode_t mode) const {
    unlink(Path("f").c_str());
    WriteFile(Path("f"), content_);
    Chown(Path("f"), kAlice.uid, kTeam);
    Chmod(Path("f"), mode);
  }

 private:
  const std::string content_ = Pattern(GetParam(), 3);
};
INSTANTIATE_TEST_SUITE_P(SmallAndLarge, SetIdOfEveryWriter, ::testing::Values(100, 300'000));

TEST_P(SetIdOfEveryWriter, KeepsAndLosesThemAsNatively) {
  WriteFile(Path("f.source"), "source");
  for (const mode_t mode :
       {02644, 02664, 02666, 02606, 02755, 02777, 04755, 04666, 06755, 06766, 02745}) {
    for (const Writer& writer : kWriters) {
      if ((mode & writer.permission) != writer.permission) continue;
      for (const WayToWrite& way : WaysToWrite()) {
        for (const bool has_reader : {false, true}) {
          SCOPED_TRACE(fmt::format("{:o}, {} by {}{}", mode, way.name, writer.name,
                                   has_reader ? ", with a reader" : ""));
          MakeFile(mode);
          const UniqueFd reader(has_reader ? open(Path("f").c_str(), O_RDONLY | O_CLOEXEC) : -1);
          if (writer.user.uid == 0) {
            way.write(Path("f"));
          } else {
            EXPECT_TRUE(AsUser(writer.user, [&] { way.write(Path("f")); }));
          }
          EXPECT_EQ(Mode(Path("f")), AfterWriteBy(writer, mode));
        }
      }
    }
  }
}

// The kernel may read and write the file itself by then.
TEST_P(SetIdOfEveryWriter, SetWhileItIsOpen) {
  const User owner{.uid = kAlice.uid, .gid = kTeam, .groups = {}};
  for (const bool is_owner : {true, false}) {
    MakeFile(0666);
    Signal opened;
    Signal go_on;
    Child writer([&] {
      const User& user = is_owner ? owner : kBob;
      ASSERT_OK(setgroups(0, nullptr));
      ASSERT_OK(setresgid(user.gid, user.gid, user.gid));
      ASSERT_OK(setresuid(user.uid, user.uid, user.uid));
      const UniqueFd fd = Open(Path("f"), O_RDWR);
      opened.Send();
      go_on.Await();
      WriteAt(fd.get(), 0, "y");
    });
    opened.Await();
    Chmod(Path("f"), 02666);
    go_on.Send();
    EXPECT_TRUE(writer.Succeeded());
    EXPECT_EQ(Mode(Path("f")), is_owner ? 02666U : 0666U);
  }
}

TEST_P(SetIdOfEveryWriter, ChownKeepsAndLosesThemAsNatively) {
  const User member{.uid = kAlice.uid, .gid = kAlice.gid, .groups = {kTeam}};
  for (const mode_t mode : {02644, 06644, 02755, 06755}) {
    for (const bool is_member : {true, false}) {
      MakeFile(mode);
      EXPECT_TRUE(AsUser(is_member ? member : kAlice, [&] {
        EXPECT_OK(chown(Path("f").c_str(), static_cast<uid_t>(-1), kAlice.gid));
      }));
      const mode_t expected = mode == 02755 || mode == 06755 || !is_member ? mode & 0777 : 02644;
      EXPECT_EQ(Mode(Path("f")), expected) << fmt::format("{:o}, {}", mode, is_member);
    }
  }
}

TEST_F(SetId, AnOpenDescriptorThatStartedEarlierClears) {
  // Opened and used while the bits were not there, and then again when they are.
  Chmod(file(), 0777);
  Signal opened;
  Signal go_on;
  Child alice([&] {
    ASSERT_OK(setresuid(kAlice.uid, kAlice.uid, kAlice.uid));
    const UniqueFd fd = Open(file(), O_WRONLY);
    WriteAt(fd.get(), 0, "x");
    opened.Send();
    go_on.Await();
    WriteAt(fd.get(), 0, "y");
  });
  opened.Await();
  Chmod(file(), 06777);
  go_on.Send();
  EXPECT_TRUE(alice.Succeeded());
  EXPECT_EQ(Mode(file()), 0777U);
}

TEST_F(SetId, RootsWriteKeepsThem) {
  EXPECT_EQ(AfterRoot(06755, [this] { EXPECT_OK(truncate(file().c_str(), 5)); }), 06755U);
  EXPECT_EQ(AfterRoot(06755, [this] { Open(file(), O_WRONLY | O_TRUNC); }), 06755U);
  EXPECT_EQ(AfterRoot(06755, [this] { Write(); }), 06755U);
}

// As root in a container without that capability is.
void DropFsetid() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  ASSERT_OK(syscall(SYS_capget, &header, data));
  data[CAP_TO_INDEX(CAP_FSETID)].effective &= ~CAP_TO_MASK(CAP_FSETID);
  ASSERT_OK(syscall(SYS_capset, &header, data));
}

TEST_F(SetId, RootWithoutTheCapabilityClears) {
  const auto after = [this](const std::function<void()>& body) {
    Chmod(file(), 06755);
    EXPECT_TRUE(InChild([&] {
      DropFsetid();
      body();
    }));
    return Mode(file());
  };
  EXPECT_EQ(after([this] { EXPECT_OK(truncate(file().c_str(), 5)); }), 0755U);
  EXPECT_EQ(after([this] { Open(file(), O_WRONLY | O_TRUNC); }), 0755U);
  EXPECT_EQ(after([this] { Write(); }), 0755U);
  EXPECT_EQ(after([this] {
              const UniqueFd fd = Open(file(), O_WRONLY);
              EXPECT_OK(ftruncate(fd.get(), 3));
            }),
            0755U);
}

TEST_F(SetId, FileCapabilitiesGoWithAnyWrite) {
  vfs_cap_data capabilities{};
  capabilities.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE;
  capabilities.data[0].permitted = 1U << CAP_NET_RAW;
  const auto set = [&] {
    ASSERT_OK(setxattr(file().c_str(), "security.capability", &capabilities, XATTR_CAPS_SZ_2, 0));
    EXPECT_EQ(getxattr(file().c_str(), "security.capability", nullptr, 0), XATTR_CAPS_SZ_2);
  };
  const auto expect_gone = [&](const char* after) {
    EXPECT_ERRNO(ENODATA, getxattr(file().c_str(), "security.capability", nullptr, 0)) << after;
  };
  Chmod(file(), 0777);
  set();
  EXPECT_TRUE(AsUser(kAlice, [this] { Write(); }));
  expect_gone("another user's write");
  set();
  Write();
  expect_gone("root's write");
  set();
  EXPECT_OK(truncate(file().c_str(), 3));
  expect_gone("truncate");
  set();
  Chown(file(), kBob.uid, kBob.gid);
  expect_gone("chown");
}

TEST_F(SetId, ChownClears) {
  const auto after_chown = [this](mode_t mode, uid_t uid, gid_t gid) {
    Chmod(file(), mode);
    Chown(file(), uid, gid);
    return Mode(file());
  };
  EXPECT_EQ(after_chown(06755, kAlice.uid, kTeam), 0755U) << "even for root";
  EXPECT_EQ(after_chown(06755, kAlice.uid, kTeam), 0755U) << "even to the same owner";
  EXPECT_EQ(after_chown(06755, static_cast<uid_t>(-1), kTeam), 0755U);
  // Without permission to execute, the bit of the group means something else and stays for root.
  EXPECT_EQ(after_chown(02644, kAlice.uid, kTeam), 02644U);
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  Chmod(Path("d"), 06755);
  Chown(Path("d"), kAlice.uid, kTeam);
  EXPECT_EQ(Mode(Path("d")), 06755U) << "directories keep theirs";
}

TEST_F(SetId, AnOwnersChown) {
  Chown(file(), kAlice.uid, kAlice.gid);
  Chmod(file(), 06755);
  const User member{.uid = kAlice.uid, .gid = kAlice.gid, .groups = {kTeam}};
  EXPECT_TRUE(AsUser(member, [&] {
    EXPECT_ERRNO(EPERM, chown(file().c_str(), kBob.uid, static_cast<gid_t>(-1)));
    EXPECT_ERRNO(EPERM, chown(file().c_str(), static_cast<uid_t>(-1), kBob.gid));
    EXPECT_EQ(Mode(file()), 06755U) << "what failed changed nothing";
    EXPECT_OK(chown(file().c_str(), kAlice.uid, kTeam));
    EXPECT_EQ(Mode(file()), 0755U);
    EXPECT_EQ(Stat(file()).st_gid, kTeam);
  }));
}

TEST_F(SetId, ChmodByWhoIsNotInTheGroup) {
  Chown(file(), kAlice.uid, kTeam);
  EXPECT_TRUE(AsUser(kAlice, [&] {
    EXPECT_OK(chmod(file().c_str(), 06755));
    EXPECT_EQ(Mode(file()), 04755U) << "g+s needs membership";
  }));
  const User member{.uid = kAlice.uid, .gid = kAlice.gid, .groups = {kTeam}};
  EXPECT_TRUE(AsUser(member, [&] {
    EXPECT_OK(chmod(file().c_str(), 06755));
    EXPECT_EQ(Mode(file()), 06755U);
  }));
  EXPECT_TRUE(AsUser(kBob, [&] { EXPECT_ERRNO(EPERM, chmod(file().c_str(), 0777)); }));
}

TEST_F(SetId, DirectoriesPassOnTheirGroup) {
  ASSERT_OK(mkdir(Path("d").c_str(), 0777));
  Chown(Path("d"), 0, kTeam);
  Chmod(Path("d"), 02777);
  EXPECT_TRUE(AsUser(kAlice, [&] {
    WriteFile(Path("d/file"), "");
    EXPECT_OK(mkdir(Path("d/sub").c_str(), 0755));
    EXPECT_OK(symlink("x", Path("d/symlink").c_str()));
    EXPECT_OK(mkfifo(Path("d/fifo").c_str(), 0644));
    const UniqueFd unnamed = Open(Path("d"), O_TMPFILE | O_RDWR);
    EXPECT_EQ(Stat(unnamed.get()).st_gid, kTeam);
    // Alice is not in the group: she cannot make a program that runs with it.
    const UniqueFd program = Open(Path("d/program"), O_CREAT | O_WRONLY, 02755);
  }));
  for (const char* name : {"d/file", "d/sub", "d/symlink", "d/fifo"}) {
    EXPECT_EQ(Stat(Path(name)).st_gid, kTeam) << name;
    EXPECT_EQ(Stat(Path(name)).st_uid, kAlice.uid) << name;
  }
  EXPECT_EQ(Mode(Path("d/sub")), 02755U) << "subdirectories go on so";
  EXPECT_EQ(Mode(Path("d/program")), 0755U);
  const User member{.uid = kBob.uid, .gid = kBob.gid, .groups = {kTeam}};
  EXPECT_TRUE(AsUser(member, [&] {
    const UniqueFd program = Open(Path("d/team program"), O_CREAT | O_WRONLY, 02755);
  }));
  EXPECT_EQ(Mode(Path("d/team program")), 02755U);
  const UniqueFd by_root = Open(Path("d/root program"), O_CREAT | O_WRONLY, 06755);
  EXPECT_EQ(Mode(Path("d/root program")), 06755U);
}

TEST_F(SetId, StickyDirectories) {
  ASSERT_OK(mkdir(Path("d").c_str(), 0777));
  Chmod(Path("d"), 01777);
  EXPECT_TRUE(AsUser(kAlice, [&] {
    WriteFile(Path("d/alice"), "");
    EXPECT_OK(mkdir(Path("d/alice's").c_str(), 0777));
    EXPECT_OK(chmod(Path("d/alice").c_str(), 0666));
  }));
  EXPECT_TRUE(AsUser(kBob, [&] {
    WriteFile(Path("d/bob"), "");
    EXPECT_ERRNO(EPERM, unlink(Path("d/alice").c_str()));
    EXPECT_ERRNO(EPERM, rmdir(Path("d/alice's").c_str()));
    EXPECT_ERRNO(EPERM, rename(Path("d/alice").c_str(), Path("d/moved").c_str()));
    EXPECT_ERRNO(EPERM, rename(Path("d/bob").c_str(), Path("d/alice").c_str()));
    EXPECT_ERRNO(EPERM, renameat2(AT_FDCWD, Path("d/bob").c_str(), AT_FDCWD,
                                  Path("d/alice").c_str(), RENAME_EXCHANGE));
    EXPECT_OK(unlink(Path("d/bob").c_str()));
  }));
  EXPECT_TRUE(AsUser(kAlice, [&] {
    EXPECT_OK(rename(Path("d/alice").c_str(), Path("d/moved").c_str()));
    EXPECT_OK(unlink(Path("d/moved").c_str()));
  }));
}

// A copy of a small program that tells its effective user.
class SetUserProgram : public SetId {
 protected:
  void SetUp() override {
    SetId::SetUp();
    WriteFile(Path("id"), ReadFile("/usr/bin/id"), 0755);
  }
  // What `id OPTION` of this copy prints when Alice runs it.
  std::string Run(const char* option) const {
    int ends[2];
    EXPECT_OK(pipe2(ends, O_CLOEXEC));
    UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    Child child([&] {
      ASSERT_OK(setresgid(kAlice.gid, kAlice.gid, kAlice.gid));
      ASSERT_OK(setresuid(kAlice.uid, kAlice.uid, kAlice.uid));
      dup2(write_end.get(), STDOUT_FILENO);
      execl(Path("id").c_str(), "id", option, nullptr);
      ADD_FAILURE() << "exec: " << std::strerror(errno);
    });
    write_end.Reset();
    std::string output(100, '\0');
    const ssize_t size = read(read_end.get(), output.data(), output.size());
    EXPECT_TRUE(child.Succeeded());
    output.resize(size > 0 ? static_cast<size_t>(size) - 1 : 0);  // without the newline
    return output;
  }
};

TEST_F(SetUserProgram, RunsAsItsOwner) {
  Chown(Path("id"), kBob.uid, kBob.gid);
  EXPECT_EQ(Run("-u"), std::to_string(kAlice.uid));
  Chmod(Path("id"), 04755);
  EXPECT_EQ(Run("-u"), std::to_string(kBob.uid));
  EXPECT_EQ(Run("-g"), std::to_string(kAlice.gid));
  Chmod(Path("id"), 06755);
  EXPECT_EQ(Run("-g"), std::to_string(kBob.gid));
  Chmod(Path("id"), 0755);
  EXPECT_EQ(Run("-u"), std::to_string(kAlice.uid));
}

TEST_F(SetUserProgram, NeverRunsSoWithWhatAnotherUserWrote) {
  const std::string program = ReadFile(Path("id"));
  Chown(Path("id"), kBob.uid, kBob.gid);
  for (int round = 0; round < 30; ++round) {
    Chmod(Path("id"), 04777);
    ASSERT_EQ(Run("-u"), std::to_string(kBob.uid));  // the kernel knows the mode now
    ASSERT_TRUE(AsUser(kAlice, [&] {
      const UniqueFd fd = Open(Path("id"), O_RDWR);
      WriteAt(fd.get(), static_cast<off_t>(program.size()) - 1, program.substr(program.size() - 1));
    }));
    ASSERT_EQ(Run("-u"), std::to_string(kAlice.uid)) << "round " << round;
  }
}

TEST_F(SetId, AStoreThroughAMappingIsNoWrite) {
  // As on every filesystem of Linux: the first store to a page is not seen as a write(2), but for
  // the times.
  EXPECT_EQ(AfterAlice(04777,
                       [this] {
                         const UniqueFd fd = Open(file(), O_RDWR);
                         void* at =
                             mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
                         ASSERT_NE(at, MAP_FAILED);
                         std::memset(at, 'm', 4);
                         EXPECT_OK(msync(at, 4096, MS_SYNC));
                         munmap(at, 4096);
                       }),
            04777U);
}

}  // namespace
}  // namespace ckptfs::testing
