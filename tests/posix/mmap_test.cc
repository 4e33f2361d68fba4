// Mapped files.
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <algorithm>
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

// One way in which a file of `size` bytes grows, and what it then has more.
struct Growth {
  const char* name;
  std::function<void(int fd, const std::string& path, off_t size)> grow;
  std::string more;
};

std::vector<Growth> GrowthsWithoutContent() {
  const std::string zeros(50, '\0');
  return {
      {"ftruncate",
       [](int fd, const std::string&, off_t size) { EXPECT_OK(ftruncate(fd, size + 50)); }, zeros},
      {"truncate",
       [](int, const std::string& path, off_t size) {
         EXPECT_OK(truncate(path.c_str(), size + 9000));
       },
       std::string(9000, '\0')},
      {"fallocate",
       [](int fd, const std::string&, off_t size) { EXPECT_OK(fallocate(fd, 0, 0, size + 50)); },
       zeros},
      {"zero range",
       [](int fd, const std::string&, off_t size) {
         EXPECT_OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, size + 20, 30));
       },
       zeros},
  };
}

std::vector<Growth> GrowthsByWriting() {
  const std::string zeros(50, '\0');
  return {
      {"a write in the same page",
       [](int fd, const std::string&, off_t size) { WriteAt(fd, size + 50, "e"); }, zeros + "e"},
      {"a write pages further on",
       [](int fd, const std::string&, off_t size) { WriteAt(fd, size + 20'000, "e"); },
       std::string(20'000, '\0') + "e"},
      {"a direct write",
       [](int, const std::string& path, off_t size) {
         const off_t at = (size + kBlock) / kBlock * kBlock;
         PageBuffer block(1);
         std::memset(block.get(), 'd', kPage);
         const UniqueFd direct = Open(path, O_WRONLY | O_DIRECT);
         EXPECT_EQ(pwrite(direct.get(), block.get(), kPage, at), static_cast<ssize_t>(kPage));
         EXPECT_OK(ftruncate(direct.get(), size + 50));
       },
       zeros},
      {"an append, then ftruncate",
       [](int fd, const std::string& path, off_t size) {
         const UniqueFd appending = Open(path, O_WRONLY | O_APPEND);
         EXPECT_EQ(write(appending.get(), "app", 3), 3);
         EXPECT_OK(ftruncate(fd, size + 53));
       },
       "app" + zeros},
      {"copy_file_range",
       [](int fd, const std::string& path, off_t size) {
         WriteFile(path + ".source", "source");
         const UniqueFd source = Open(path + ".source", O_RDONLY);
         off_t from = 0;
         off_t to = size + 50;
         EXPECT_EQ(copy_file_range(source.get(), &from, fd, &to, 6, 0), 6);
       },
       zeros + "source"},
      {"two steps",
       [](int fd, const std::string&, off_t size) {
         EXPECT_OK(ftruncate(fd, size + 20));
         WriteAt(fd, size + 50, "e");
       },
       zeros + "e"},
  };
}

std::vector<Growth> Growths() {
  std::vector<Growth> all = GrowthsWithoutContent();
  const std::vector<Growth> more = GrowthsByWriting();
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

// A mapping's last page is whole in memory, past the end of the file too.
TEST_F(Mmap, BytesStoredPastTheEndNeverBecomeContent) {
  for (const Growth& growth : Growths()) {
    for (const size_t size :
         {size_t{1}, kPage - 100, kPage + 700, 16 * kPage - 300, 24 * kPage + 1}) {
      for (const bool has_reader : {false, true}) {
        SCOPED_TRACE(
            fmt::format("{}, {} bytes{}", growth.name, size, has_reader ? ", a reader" : ""));
        const std::string content = Pattern(size, 7);
        unlink(Path("f").c_str());
        WriteFile(Path("f"), content);
        const UniqueFd reader(has_reader ? open(Path("f").c_str(), O_RDONLY | O_CLOEXEC) : -1);
        if (has_reader) {
          EXPECT_EQ(ReadAt(reader.get(), 0, size), content);
        }
        const UniqueFd fd = Open(Path("f"), O_RDWR);
        const size_t mapped = (size + kPage - 1) / kPage * kPage;
        {
          const Mapping one(fd.get(), mapped, kReadWrite, MAP_SHARED);
          const Mapping other(fd.get(), mapped, kReadWrite, MAP_SHARED);
          one.Store(size, std::string((mapped - size) / 2, 'Z'));
          other.Store(size + (mapped - size) / 2,
                      std::string(mapped - size - (mapped - size) / 2, 'Y'));
          growth.grow(fd.get(), Path("f"), static_cast<off_t>(size));
          EXPECT_TRUE(ReadFile(Path("f")) == content + growth.more);
          EXPECT_EQ(one.Text(size, std::min(mapped - size, growth.more.size())),
                    growth.more.substr(0, mapped - size));
          one.Store(0, std::string(1, content[0]));
          EXPECT_OK(fsync(fd.get()));
        }
        EXPECT_TRUE(ReadFile(Path("f")) == content + growth.more)
            << "when all has been written back";
      }
    }
  }
}

// The kernel may have dropped the page that was read; then it holds the new one during the write.
TEST_F(Mmap, AGapInAPageThatWasDropped) {
  WriteFile(Path("f"), "some");
  const UniqueFd fd = Open(Path("f"), O_RDWR);
  std::string content = "some";
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(ReadAt(fd.get(), 0, kPage), content);
    Open(Path("f"), O_RDWR);
    WriteAt(fd.get(), static_cast<off_t>(content.size()) + 30, "e");
    content += std::string(30, '\0') + "e";
  }
  EXPECT_EQ(ReadFile(Path("f")), content);
}

// With a reader since before, too, and in files of a size for which that matters.
TEST_F(Mmap, TimesSetAfterAStoreStay) {
  constexpr timespec kTimes[2] = {{.tv_sec = 1'500'000'000, .tv_nsec = 123'456'789},
                                  {.tv_sec = 1'400'000'000, .tv_nsec = 987'654'321}};
  for (const size_t size : {size_t{100}, 40 * kPage}) {
    for (const bool by_path : {false, true}) {
      SCOPED_TRACE(fmt::format("{} bytes, by {}", size, by_path ? "path" : "descriptor"));
      unlink(Path("f").c_str());
      WriteFile(Path("f"), Pattern(size, 2));
      const UniqueFd reader = Open(Path("f"), O_RDONLY);
      ReadAt(reader.get(), 0, 10);
      UniqueFd fd = Open(Path("f"), O_RDWR);
      const auto expect_time = [&](const char* after) {
        EXPECT_EQ(Mtime(Stat(Path("f"))), Nanoseconds(kTimes[1])) << "after " << after;
      };
      {
        const Mapping shared(fd.get(), size, kReadWrite, MAP_SHARED);
        shared.Store(0, "stored");
        EXPECT_OK(by_path ? utimensat(AT_FDCWD, Path("f").c_str(), kTimes, 0)
                          : futimens(fd.get(), kTimes));
        expect_time("utimensat");
        shared.Sync();
        expect_time("msync");
        EXPECT_OK(fsync(fd.get()));
        expect_time("fsync");
      }
      expect_time("munmap");
      fd.Reset();
      sync();
      expect_time("close");
      EXPECT_EQ(ReadFile(Path("f")).substr(0, 6), "stored");
    }
  }
}

TEST_F(Mmap, CapabilitiesSetAfterAStoreStay) {
  vfs_cap_data capabilities{};
  capabilities.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE;
  capabilities.data[0].permitted = 1U << CAP_NET_RAW;
  const UniqueFd reader = Open(Path("file"), O_RDONLY);
  ReadAt(reader.get(), 0, 10);
  const UniqueFd fd = Open(Path("file"), O_RDWR);
  const Mapping shared(fd.get(), kPage, kReadWrite, MAP_SHARED);
  shared.Store(0, "stored");
  ASSERT_OK(fsetxattr(fd.get(), "security.capability", &capabilities, XATTR_CAPS_SZ_2, 0));
  shared.Sync();
  EXPECT_EQ(fgetxattr(fd.get(), "security.capability", nullptr, 0), XATTR_CAPS_SZ_2);
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
