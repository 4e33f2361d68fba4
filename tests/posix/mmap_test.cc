// Mapped files.
#include <sys/mman.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class Mapping {
 public:
  Mapping(int fd, size_t size, int protection, int flags, off_t offset = 0)
      : size_(size), address_(mmap(nullptr, size, protection, flags, fd, offset)) {
    EXPECT_NE(address_, MAP_FAILED) << std::strerror(errno);
  }
  ~Mapping() { munmap(address_, size_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  // Volatile: another process may change what is read, and every access has to happen.
  volatile char* data() const { return static_cast<volatile char*>(address_); }
  std::string Text(size_t offset, size_t size) const {
    std::string text;
    for (size_t i = 0; i < size; ++i) text += data()[offset + i];
    return text;
  }
  void Store(size_t offset, std::string_view text) const {
    for (size_t i = 0; i < text.size(); ++i) data()[offset + i] = text[i];
  }
  void Sync() const { EXPECT_OK(msync(address_, size_, MS_SYNC)); }

 private:
  size_t size_;
  void* address_;
};

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

class Mmap : public PosixTest {
 protected:
  void SetUp() override {
    PosixTest::SetUp();
    WriteFile(Path("file"), content_);
  }
  const std::string content_ = Pattern(16 * kPage, 1);
};

TEST_F(Mmap, SharedMappingsAndDescriptorsSeeOneFile) {
  const UniqueFd fd = Open(Path("file"), O_RDWR);
  const Mapping shared(fd.get(), 16 * kPage, kReadWrite, MAP_SHARED);
  EXPECT_EQ(shared.Text(0, 16 * kPage), content_);
  shared.Store(5000, "by the mapping");
  EXPECT_EQ(ReadAt(fd.get(), 5000, 14), "by the mapping") << "before msync";
  const UniqueFd other = Open(Path("file"), O_RDWR);
  EXPECT_EQ(ReadAt(other.get(), 5000, 14), "by the mapping");
  WriteAt(other.get(), 9000, "by write(2)");
  EXPECT_EQ(shared.Text(9000, 11), "by write(2)");
  shared.Sync();
  EXPECT_EQ(ReadFile(Path("file")).substr(5000, 14), "by the mapping");
}

TEST_F(Mmap, TwoProcessesShare) {
  Signal stored;
  Signal answered;
  Child peer([&] {
    const UniqueFd fd = Open(Path("file"), O_RDWR);
    const Mapping shared(fd.get(), 2 * kPage, kReadWrite, MAP_SHARED);
    stored.Await();
    EXPECT_EQ(shared.Text(100, 4), "ping");
    shared.Store(kPage + 100, "pong");
    answered.Send();
  });
  const UniqueFd fd = Open(Path("file"), O_RDWR);
  const Mapping shared(fd.get(), 2 * kPage, kReadWrite, MAP_SHARED);
  shared.Store(100, "ping");
  stored.Send();
  answered.Await();
  EXPECT_EQ(shared.Text(kPage + 100, 4), "pong");
  EXPECT_TRUE(peer.Succeeded());
}

TEST_F(Mmap, PrivateMappingsKeepTheirStores) {
  const UniqueFd fd = Open(Path("file"), O_RDONLY);
  const Mapping own(fd.get(), 2 * kPage, kReadWrite, MAP_PRIVATE);
  own.Store(0, "mine");
  EXPECT_EQ(own.Text(0, 4), "mine");
  EXPECT_EQ(ReadFile(Path("file")), content_);
  const UniqueFd writer = Open(Path("file"), O_WRONLY);
  WriteAt(writer.get(), kPage, "theirs");
  EXPECT_EQ(own.Text(kPage, 6), "theirs") << "a page that was not stored to is the file's";
}

TEST_F(Mmap, ProtectionFollowsTheDescriptor) {
  const UniqueFd fd = Open(Path("file"), O_RDONLY);
  EXPECT_EQ(mmap(nullptr, kPage, kReadWrite, MAP_SHARED, fd.get(), 0), MAP_FAILED);
  EXPECT_EQ(errno, EACCES);
  const UniqueFd write_only = Open(Path("file"), O_WRONLY);
  EXPECT_EQ(mmap(nullptr, kPage, PROT_READ, MAP_SHARED, write_only.get(), 0), MAP_FAILED);
  EXPECT_EQ(errno, EACCES);
}

TEST_F(Mmap, APageBeyondTheEndIsABusError) {
  const auto killed_by = [](const std::function<void()>& body) {
    Child child([&] {
      signal(SIGBUS, SIG_DFL);
      body();
    });
    const int status = child.WaitStatus();
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  };
  EXPECT_EQ(killed_by([&] {
              const UniqueFd fd = Open(Path("file"), O_RDWR);
              const Mapping shared(fd.get(), 16 * kPage, kReadWrite, MAP_SHARED);
              shared.Store(15 * kPage, "touched");
              ASSERT_OK(ftruncate(fd.get(), 2 * kPage + 100));
              EXPECT_EQ(shared.Text(2 * kPage + 100, 5), std::string(5, '\0'));
              shared.Store(3 * kPage, "x");
            }),
            SIGBUS);
  EXPECT_EQ(Stat(Path("file")).st_size, off_t{2 * kPage + 100});
}

TEST_F(Mmap, AFileThatGrowsUnderItsMapping) {
  const UniqueFd fd = Open(Path("file"), O_RDWR | O_TRUNC);
  const Mapping shared(fd.get(), 16 * kPage, kReadWrite, MAP_SHARED);
  ASSERT_OK(ftruncate(fd.get(), 4 * kPage));
  shared.Store(3 * kPage, "now there");
  EXPECT_EQ(ReadAt(fd.get(), 3 * kPage, 9), "now there");
  WriteAt(fd.get(), 10 * kPage, "later");
  EXPECT_EQ(shared.Text(10 * kPage, 5), "later");
}

TEST_F(Mmap, StoresSurviveTheirProcess) {
  EXPECT_TRUE(InChild([&] {
    UniqueFd fd = Open(Path("file"), O_RDWR);
    const Mapping shared(fd.get(), 16 * kPage, kReadWrite, MAP_SHARED);
    fd.Reset();
    shared.Store(7 * kPage, "left behind");
  }));
  EXPECT_EQ(ReadFile(Path("file")).substr(7 * kPage, 11), "left behind");
}

TEST_F(Mmap, AnUnlinkedFileStaysMapped) {
  UniqueFd fd = Open(Path("file"), O_RDWR);
  const Mapping shared(fd.get(), 16 * kPage, kReadWrite, MAP_SHARED);
  fd.Reset();
  ASSERT_OK(unlink(Path("file").c_str()));
  EXPECT_EQ(shared.Text(8 * kPage, 100), content_.substr(8 * kPage, 100));
  shared.Store(8 * kPage, "still writable");
  shared.Sync();
  EXPECT_EQ(shared.Text(8 * kPage, 14), "still writable");
}

TEST_F(Mmap, ProgramsRunFromTheFilesystem) {
  WriteFile(Path("program"), ReadFile("/bin/true"), 0755);
  WriteFile(Path("script"), "#!/bin/sh\nexit 7\n", 0755);
  const auto run = [&](const std::string& path) {
    Child child([&] {
      execl(path.c_str(), path.c_str(), nullptr);
      _exit(126);
    });
    const int status = child.WaitStatus();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  EXPECT_EQ(run(Path("program")), 0);
  EXPECT_EQ(run(Path("script")), 7);
  WriteFile(Path("script"), "#!/bin/sh\nexit 8\n");
  EXPECT_EQ(run(Path("script")), 8);
  {
    const UniqueFd writer = Open(Path("program"), O_WRONLY);
    EXPECT_EQ(run(Path("program")), 126) << "ETXTBSY";
  }
  EXPECT_EQ(run(Path("program")), 0);
  Chmod(Path("program"), 0644);
  EXPECT_EQ(run(Path("program")), 126);
}

TEST_F(Mmap, ARunningProgramCannotBeWritten) {
  WriteFile(Path("sleep"), ReadFile("/bin/sleep"), 0755);
  const Child child([&] { execl(Path("sleep").c_str(), "sleep", "30", nullptr); });
  const std::string exe = "/proc/" + std::to_string(child.pid()) + "/exe";
  char target[4096] = {};
  for (int i = 0; i < 200; ++i) {
    usleep(10'000);
    std::memset(target, 0, sizeof(target));
    if (readlink(exe.c_str(), target, sizeof(target) - 1) > 0 && target == Path("sleep")) break;
  }
  ASSERT_STREQ(target, Path("sleep").c_str());
  EXPECT_ERRNO(ETXTBSY, open(Path("sleep").c_str(), O_WRONLY));
  EXPECT_ERRNO(ETXTBSY, truncate(Path("sleep").c_str(), 0));
  EXPECT_OK(unlink(Path("sleep").c_str()));
}

}  // namespace
}  // namespace ckptfs::testing
