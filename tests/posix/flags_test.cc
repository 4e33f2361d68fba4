// The flags of chattr(1), and what statfs(2) tells.
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include <cstring>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class Flags : public PosixTest {};

int GetFlags(const std::string& path) {
  const UniqueFd fd = Open(path, O_RDONLY);
  int flags = 0;
  EXPECT_OK(ioctl(fd.get(), FS_IOC_GETFLAGS, &flags));
  return flags;
}

int SetFlags(const std::string& path, int flags) {
  const UniqueFd fd = Open(path, O_RDONLY);
  return ioctl(fd.get(), FS_IOC_SETFLAGS, &flags);
}

TEST_F(Flags, ImmutableFiles) {
  WriteFile(Path("file"), "content");
  ASSERT_OK(SetFlags(Path("file"), FS_IMMUTABLE_FL));
  EXPECT_NE(GetFlags(Path("file")) & FS_IMMUTABLE_FL, 0);
  EXPECT_ERRNO(EPERM, open(Path("file").c_str(), O_WRONLY));
  EXPECT_ERRNO(EPERM, open(Path("file").c_str(), O_RDONLY | O_TRUNC));
  EXPECT_ERRNO(EPERM, truncate(Path("file").c_str(), 0));
  EXPECT_ERRNO(EPERM, unlink(Path("file").c_str()));
  EXPECT_ERRNO(EPERM, rename(Path("file").c_str(), Path("x").c_str()));
  EXPECT_ERRNO(EPERM, link(Path("file").c_str(), Path("x").c_str()));
  EXPECT_ERRNO(EPERM, chmod(Path("file").c_str(), 0600));
  EXPECT_ERRNO(EPERM, chown(Path("file").c_str(), 1, 1));
  EXPECT_EQ(ReadFile(Path("file")), "content");
  ASSERT_OK(SetFlags(Path("file"), 0));
  EXPECT_OK(unlink(Path("file").c_str()));
}

TEST_F(Flags, AppendOnlyFiles) {
  WriteFile(Path("file"), "content");
  ASSERT_OK(SetFlags(Path("file"), FS_APPEND_FL));
  EXPECT_ERRNO(EPERM, open(Path("file").c_str(), O_WRONLY));
  EXPECT_ERRNO(EPERM, truncate(Path("file").c_str(), 0));
  EXPECT_ERRNO(EPERM, unlink(Path("file").c_str()));
  {
    const UniqueFd fd = Open(Path("file"), O_WRONLY | O_APPEND);
    EXPECT_EQ(write(fd.get(), "+", 1), 1);
  }
  EXPECT_EQ(ReadFile(Path("file")), "content+");
  ASSERT_OK(SetFlags(Path("file"), 0));
}

// A write that the kernel takes for asynchronous, though it has been done when this returns.
void WriteAsynchronously(int fd, off_t offset, std::string_view content) {
  aio_context_t context = 0;
  ASSERT_OK(syscall(SYS_io_setup, 1, &context));
  iocb block{};
  block.aio_fildes = static_cast<uint32_t>(fd);
  block.aio_lio_opcode = IOCB_CMD_PWRITE;
  block.aio_buf = reinterpret_cast<uint64_t>(content.data());
  block.aio_nbytes = content.size();
  block.aio_offset = offset;
  iocb* blocks[] = {&block};
  EXPECT_EQ(syscall(SYS_io_submit, context, 1, blocks), 1);
  io_event event{};
  EXPECT_EQ(syscall(SYS_io_getevents, context, 1, 1, &event, nullptr), 1);
  EXPECT_OK(syscall(SYS_io_destroy, context));
}

// Whatever somebody tries who may append.
void TryToChange(const std::string& path) {
  const UniqueFd fd = Open(path, O_RDWR | O_APPEND);
  ASSERT_TRUE(fd.valid());
  void* const mapped = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  EXPECT_EQ(mapped, MAP_FAILED);
  if (mapped != MAP_FAILED) std::memcpy(mapped, "EVIL", 4);
  fcntl(fd.get(), F_SETFL, 0);  // EPERM, where the kernel knows
  EXPECT_EQ(pwrite(fd.get(), "1", 1, 0), 1);
  WriteAsynchronously(fd.get(), 0, "2");
  EXPECT_ERRNO(EPERM, ftruncate(fd.get(), 0));
}

TEST_F(Flags, AppendOnlyFilesKeepWhatWasWritten) {
  for (const size_t size : {size_t{100}, size_t{1} << 20}) {  // one in the page cache, one not
    const std::string path = Path("of-" + std::to_string(size));
    const std::string content = Pattern(size, 1);
    WriteFile(path, content, 0666);
    Chmod(path, 0666);
    EXPECT_EQ(ReadFile(path), content);
    ASSERT_OK(SetFlags(path, FS_APPEND_FL));
    const UniqueFd reader = Open(path, O_RDONLY);
    EXPECT_EQ(ReadAt(reader.get(), 0, size), content);
    EXPECT_TRUE(AsUser(kAlice, [&] { TryToChange(path); }));
    EXPECT_EQ(ReadFile(path), content + "12");
    EXPECT_EQ(ReadAt(reader.get(), static_cast<off_t>(size), 10), "12");
    {
      const UniqueFd fd = Open(path, O_WRONLY | O_APPEND);
      EXPECT_EQ(write(fd.get(), "3", 1), 1);
    }
    EXPECT_EQ(ReadAt(reader.get(), static_cast<off_t>(size), 10), "123");
    ASSERT_OK(SetFlags(path, 0));
  }
}

TEST_F(Flags, ChangingThemChangesTheCtime) {
  WriteFile(Path("file"), "content");
  const int64_t before = Ctime(Stat(Path("file")));
  LetTheClockTick();
  ASSERT_OK(SetFlags(Path("file"), FS_NOATIME_FL));
  EXPECT_GT(Ctime(Stat(Path("file"))), before);
}

TEST_F(Flags, ImmutableDirectories) {
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  WriteFile(Path("d/f"), "x");
  ASSERT_OK(SetFlags(Path("d"), FS_IMMUTABLE_FL));
  EXPECT_ERRNO(EPERM, unlink(Path("d/f").c_str()));
  EXPECT_ERRNO(EPERM, mkdir(Path("d/x").c_str(), 0755));
  EXPECT_ERRNO(EPERM, open(Path("d/x").c_str(), O_CREAT | O_RDWR, 0644));
  WriteFile(Path("d/f"), "the file itself may change");
  ASSERT_OK(SetFlags(Path("d"), 0));
  EXPECT_OK(unlink(Path("d/f").c_str()));
}

TEST_F(Flags, OthersOfBtrfs) {
  WriteFile(Path("file"), "");
  ASSERT_OK(SetFlags(Path("file"), FS_NOCOW_FL));
  EXPECT_NE(GetFlags(Path("file")) & FS_NOCOW_FL, 0);
  WriteFile(Path("other"), "");
  ASSERT_OK(SetFlags(Path("other"), FS_COMPR_FL | FS_NOATIME_FL));
  EXPECT_NE(GetFlags(Path("other")) & FS_COMPR_FL, 0);
  Chmod(Path("other"), 0666);
  EXPECT_TRUE(AsUser(kAlice, [&] {
    EXPECT_ERRNO(EPERM, SetFlags(Path("other"), FS_COMPR_FL)) << "not the owner";
    WriteFile(Path("alice"), "");
    EXPECT_ERRNO(EPERM, SetFlags(Path("alice"), FS_IMMUTABLE_FL)) << "for root only";
    EXPECT_OK(SetFlags(Path("alice"), FS_NODUMP_FL));
  }));
}

TEST_F(Flags, UnknownRequests) {
  WriteFile(Path("file"), "");
  const UniqueFd fd = Open(Path("file"), O_RDWR);
  EXPECT_ERRNO(ENOTTY, ioctl(fd.get(), 0x5413 /* TIOCGWINSZ */, nullptr));
  int bytes = 0;
  WriteAt(fd.get(), 0, "12345");
  EXPECT_OK(ioctl(fd.get(), FIONREAD, &bytes));
  EXPECT_EQ(bytes, 5);
}

TEST_F(Flags, SpaceIsTold) {
  sync();
  struct statvfs before {};
  ASSERT_OK(statvfs(dir().c_str(), &before));
  EXPECT_EQ(before.f_namemax, 255U);
  EXPECT_EQ(before.f_bsize, 4096U);
  EXPECT_EQ(before.f_frsize, 4096U);
  EXPECT_GT(before.f_blocks, before.f_bfree);
  EXPECT_GE(before.f_bfree, before.f_bavail);
  EXPECT_GT(before.f_bavail, 0U);
  const UniqueFd fd = Open(Path("file"), O_RDWR | O_CREAT);
  WriteAt(fd.get(), 0, Pattern(30 << 20, 1));
  sync();
  struct statvfs after {};
  ASSERT_OK(fstatvfs(fd.get(), &after));
  EXPECT_LE(after.f_bfree + (16U << 20) / 4096, before.f_bfree);
  EXPECT_EQ(after.f_blocks, before.f_blocks);
}

}  // namespace
}  // namespace ckptfs::testing
