// FIFOs, sockets and device nodes.
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <cstring>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class SpecialFiles : public PosixTest {};

// The name is relative: a socket's may have 107 bytes only.
sockaddr_un Address(const char* name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, name, sizeof(address.sun_path) - 1);
  return address;
}

int Bind(int fd, const char* name) {
  const sockaddr_un address = Address(name);
  return bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

int Connect(int fd, const char* name) {
  const sockaddr_un address = Address(name);
  return connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

TEST_F(SpecialFiles, AFifoCarriesBytesBetweenProcesses) {
  ASSERT_OK(mkfifo(Path("fifo").c_str(), 0622));
  EXPECT_TRUE(S_ISFIFO(Stat(Path("fifo")).st_mode));
  EXPECT_EQ(Mode(Path("fifo")), 0600U) << "the umask counts";
  EXPECT_ERRNO(ENXIO, open(Path("fifo").c_str(), O_WRONLY | O_NONBLOCK)) << "nobody reads";
  Child writer([&] {
    const UniqueFd fd = Open(Path("fifo"), O_WRONLY);
    EXPECT_EQ(write(fd.get(), "through the pipe", 16), 16);
  });
  EXPECT_EQ(ReadFile(Path("fifo")), "through the pipe");
  EXPECT_TRUE(writer.Succeeded());
  EXPECT_EQ(Stat(Path("fifo")).st_size, 0);
  EXPECT_ERRNO(EEXIST, mkfifo(Path("fifo").c_str(), 0600));
}

TEST_F(SpecialFiles, ASocketIsReachedByItsName) {
  ASSERT_TRUE(InChild([&] {
    ASSERT_OK(chdir(dir().c_str()));
    const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_OK(Bind(listener.get(), "socket"));
    ASSERT_OK(listen(listener.get(), 1));
    EXPECT_TRUE(S_ISSOCK(Stat("socket").st_mode));
    EXPECT_ERRNO(ENXIO, open("socket", O_RDWR));
    const UniqueFd second(socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_ERRNO(EADDRINUSE, Bind(second.get(), "socket"));
    ASSERT_OK(rename("socket", "renamed"));
    ASSERT_OK(link("renamed", "linked"));
    for (const char* name : {"renamed", "linked"}) {
      Child client([&] {
        const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
        ASSERT_OK(Connect(fd.get(), name));
        EXPECT_EQ(write(fd.get(), "hello", 5), 5);
      });
      const UniqueFd peer(accept(listener.get(), nullptr, nullptr));
      char text[5] = {};
      EXPECT_EQ(read(peer.get(), text, sizeof(text)), 5);
      EXPECT_EQ(std::string(text, 5), "hello");
      EXPECT_TRUE(client.Succeeded());
    }
    Chmod("linked", 0700);
    EXPECT_TRUE(AsUser(kAlice, [&] {
      const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
      EXPECT_ERRNO(EACCES, Connect(fd.get(), "linked"));
    }));
  }));
}

TEST_F(SpecialFiles, DeviceNodes) {
  const dev_t null = makedev(1, 3);
  ASSERT_OK(mknod(Path("null").c_str(), S_IFCHR | 0666, null));
  Chmod(Path("null"), 0666);
  const struct stat status = Stat(Path("null"));
  EXPECT_TRUE(S_ISCHR(status.st_mode));
  EXPECT_EQ(status.st_rdev, null);
  struct statvfs mount {};
  ASSERT_OK(statvfs(dir().c_str(), &mount));
  if ((mount.f_flag & ST_NODEV) != 0) {
    EXPECT_ERRNO(EACCES, open(Path("null").c_str(), O_RDWR));
  } else {
    EXPECT_TRUE(AsUser(kAlice, [&] {
      const UniqueFd fd = Open(Path("null"), O_RDWR);
      EXPECT_EQ(write(fd.get(), "gone", 4), 4);
      char byte = 0;
      EXPECT_EQ(read(fd.get(), &byte, 1), 0);
      EXPECT_TRUE(S_ISCHR(Stat(fd.get()).st_mode));
    }));
  }
  // A number that needs more than 8 bits for either part.
  const dev_t large = makedev(0xabc, 0xabcde);
  ASSERT_OK(mknod(Path("block").c_str(), S_IFBLK | 0600, large));
  EXPECT_EQ(Stat(Path("block")).st_rdev, large);
  EXPECT_TRUE(S_ISBLK(Stat(Path("block")).st_mode));
  EXPECT_TRUE(AsUser(
      kAlice, [&] { EXPECT_ERRNO(EPERM, mknod(Path("other").c_str(), S_IFCHR | 0666, null)); }));
}

TEST_F(SpecialFiles, MknodMakesRegularFilesToo) {
  ASSERT_OK(mknod(Path("file").c_str(), S_IFREG | 0640, 0));
  EXPECT_TRUE(S_ISREG(Stat(Path("file")).st_mode));
  EXPECT_EQ(Mode(Path("file")), 0640U);
  WriteFile(Path("file"), "x");
  EXPECT_EQ(ReadFile(Path("file")), "x");
}

}  // namespace
}  // namespace ckptfs::testing
