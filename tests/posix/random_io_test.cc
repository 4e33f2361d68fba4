// Random operations on one file, each compared with a model in memory.
//
// POSIX_TEST_OPERATIONS   how many (20,000 if unset)
// POSIX_TEST_SEED         where the random numbers start (1 if unset); a failure names it
// POSIX_TEST_SNAPSHOTS    the list of the workspace's snapshots: now and then one is made with
//                         mkdir(2), and the file in it must be the model of that moment
#include <linux/falloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

constexpr size_t kSizeMax = 512 << 10;
constexpr size_t kLengthMax = 64 << 10;

uint32_t NumberFromEnvironment(const char* name, uint32_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? static_cast<uint32_t>(std::strtoul(text, nullptr, 10)) : otherwise;
}

class RandomIo : public PosixTest {
 protected:
  void Run(uint32_t operations, uint32_t seed);

 private:
  size_t Below(size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  size_t Length() { return 1 + (Below(4) == 0 ? Below(100) : Below(kLengthMax)); }
  // A place to write: at any offset; half of them on the bound of a page.
  size_t Offset() {
    const size_t offset = Below(kSizeMax - kLengthMax);
    return Below(2) == 0 ? offset : offset / kPage * kPage;
  }
  // Part of the file as it is: false if it is empty.
  bool Part(size_t& offset, size_t& length) {
    if (model_.empty()) return false;
    offset = Below(model_.size());
    length = std::min(Length(), model_.size() - offset);
    return true;
  }
  void Overwrite(size_t offset, const std::string& data) {
    if (model_.size() < offset + data.size()) model_.resize(offset + data.size(), '\0');
    model_.replace(offset, data.size(), data);
  }
  std::string NewData(size_t length) { return Pattern(length, static_cast<uint32_t>(random_())); }

  void Write();
  void Append();
  void Read();
  void MappedRead();
  void MappedWrite();
  void DirectWrite();
  void Truncate();
  void Allocate();
  void Punch();
  void Zero();
  void Copy();
  void Reopen();
  void Sync();
  void Checkpoint();
  void CheckAll();

  std::mt19937 random_;
  std::string model_;
  UniqueFd fd_;
  std::string snapshots_;
  std::vector<std::string> made_;
};

void RandomIo::Write() {
  const size_t offset = Offset();
  const std::string data = NewData(Length());
  WriteAt(fd_.get(), static_cast<off_t>(offset), data);
  Overwrite(offset, data);
}

void RandomIo::Append() {
  const std::string data = NewData(1 + Below(5000));
  if (model_.size() + data.size() > kSizeMax) return;
  const UniqueFd fd = Open(Path("file"), O_WRONLY | O_APPEND);
  EXPECT_EQ(write(fd.get(), data.data(), data.size()), static_cast<ssize_t>(data.size()));
  model_ += data;
}

void RandomIo::Read() {
  const size_t offset = Below(kSizeMax);
  const size_t length = Length();
  const std::string expected =
      offset < model_.size() ? model_.substr(offset, length) : std::string();
  EXPECT_TRUE(ReadAt(fd_.get(), static_cast<off_t>(offset), length) == expected)
      << "read of " << length << " at " << offset;
}

void RandomIo::MappedRead() {
  size_t offset = 0;
  size_t length = 0;
  if (!Part(offset, length)) return;
  const size_t start = offset / kPage * kPage;
  const size_t size = offset + length - start;
  void* at = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd_.get(), static_cast<off_t>(start));
  ASSERT_NE(at, MAP_FAILED) << std::strerror(errno);
  EXPECT_TRUE(std::string_view(static_cast<char*>(at) + (offset - start), length) ==
              std::string_view(model_).substr(offset, length))
      << "mapped read of " << length << " at " << offset;
  munmap(at, size);
}

void RandomIo::MappedWrite() {
  size_t offset = 0;
  size_t length = 0;
  if (!Part(offset, length)) return;
  const size_t start = offset / kPage * kPage;
  const size_t size = offset + length - start;
  void* at =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), static_cast<off_t>(start));
  ASSERT_NE(at, MAP_FAILED) << std::strerror(errno);
  const std::string data = NewData(length);
  std::memcpy(static_cast<char*>(at) + (offset - start), data.data(), length);
  if (Below(3) == 0) {
    EXPECT_OK(msync(at, size, MS_SYNC));
  }
  munmap(at, size);
  Overwrite(offset, data);
}

void RandomIo::DirectWrite() {
  const size_t pages = 1 + Below(8);
  const size_t offset = Offset() / kPage * kPage;
  const UniqueFd fd = Open(Path("file"), O_RDWR | O_DIRECT);
  PageBuffer buffer(pages);
  const std::string data = NewData(buffer.size());
  std::memcpy(buffer.get(), data.data(), data.size());
  EXPECT_EQ(pwrite(fd.get(), buffer.get(), data.size(), static_cast<off_t>(offset)),
            static_cast<ssize_t>(data.size()));
  Overwrite(offset, data);
}

void RandomIo::Truncate() {
  const size_t size = Below(kSizeMax);
  EXPECT_OK(Below(2) == 0 ? ftruncate(fd_.get(), static_cast<off_t>(size))
                          : truncate(Path("file").c_str(), static_cast<off_t>(size)));
  model_.resize(size, '\0');
}

void RandomIo::Allocate() {
  const size_t offset = Offset();
  const size_t length = Length();
  const bool keep_size = Below(2) == 0;
  EXPECT_OK(fallocate(fd_.get(), keep_size ? FALLOC_FL_KEEP_SIZE : 0, static_cast<off_t>(offset),
                      static_cast<off_t>(length)));
  if (!keep_size) model_.resize(std::max(model_.size(), offset + length), '\0');
}

void RandomIo::Punch() {
  const size_t offset = Offset();
  const size_t length = Length();
  EXPECT_OK(fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      static_cast<off_t>(offset), static_cast<off_t>(length)));
  if (offset >= model_.size()) return;
  const size_t within = std::min(length, model_.size() - offset);
  model_.replace(offset, within, within, '\0');
}

void RandomIo::Zero() {
  const size_t offset = Offset();
  const size_t length = Length();
  EXPECT_OK(fallocate(fd_.get(), FALLOC_FL_ZERO_RANGE, static_cast<off_t>(offset),
                      static_cast<off_t>(length)));
  Overwrite(offset, std::string(length, '\0'));
}

void RandomIo::Copy() {
  size_t from = 0;
  size_t length = 0;
  if (!Part(from, length)) return;
  const size_t to = Offset();
  if (to < from + length && from < to + length) return;  // may not overlap
  auto in = static_cast<off_t>(from);
  auto out = static_cast<off_t>(to);
  size_t left = length;
  while (left > 0) {
    const ssize_t size = copy_file_range(fd_.get(), &in, fd_.get(), &out, left, 0);
    ASSERT_OK(size);
    ASSERT_GT(size, 0);
    left -= static_cast<size_t>(size);
  }
  Overwrite(to, model_.substr(from, length));
}

void RandomIo::Reopen() {
  if (Below(2) == 0) fd_.Reset();
  fd_ = Open(Path("file"), O_RDWR);
}

void RandomIo::Sync() { EXPECT_OK(Below(2) == 0 ? fsync(fd_.get()) : fdatasync(fd_.get())); }

void RandomIo::Checkpoint() {
  if (snapshots_.empty()) return;
  const std::string name = "random-io-" + std::to_string(made_.size());
  const std::string snapshot = snapshots_ + "/" + name;
  ASSERT_OK(mkdir(snapshot.c_str(), 0755)) << snapshot;
  made_.push_back(snapshot);
  const std::filesystem::path relative =
      std::filesystem::path(Path("file")).lexically_relative(TestRoot());
  EXPECT_TRUE(ReadFile(snapshot / relative) == model_) << "the file in " << snapshot;
}

void RandomIo::CheckAll() {
  EXPECT_EQ(Stat(Path("file")).st_size, static_cast<off_t>(model_.size()));
  EXPECT_EQ(Stat(fd_.get()).st_size, static_cast<off_t>(model_.size()));
  EXPECT_TRUE(ReadFile(Path("file")) == model_);
}

void RandomIo::Run(uint32_t operations, uint32_t seed) {
  random_.seed(seed);
  const char* snapshots = std::getenv("POSIX_TEST_SNAPSHOTS");
  if (snapshots != nullptr) snapshots_ = snapshots;
  fd_ = Open(Path("file"), O_RDWR | O_CREAT);
  struct Operation {
    const char* name;
    void (RandomIo::*run)();
    size_t weight;
  };
  const std::vector<Operation> all = {
      {"write", &RandomIo::Write, 20},
      {"append", &RandomIo::Append, 5},
      {"read", &RandomIo::Read, 20},
      {"mapped read", &RandomIo::MappedRead, 15},
      {"mapped write", &RandomIo::MappedWrite, 15},
      {"direct write", &RandomIo::DirectWrite, 4},
      {"truncate", &RandomIo::Truncate, 5},
      {"allocate", &RandomIo::Allocate, 4},
      {"punch", &RandomIo::Punch, 5},
      {"zero", &RandomIo::Zero, 4},
      {"copy", &RandomIo::Copy, 5},
      {"reopen", &RandomIo::Reopen, 5},
      {"sync", &RandomIo::Sync, 1},
      {"check all", &RandomIo::CheckAll, 2},
  };
  size_t weights = 0;
  for (const Operation& operation : all) weights += operation.weight;
  const uint32_t checkpoint_every = std::max(operations / 40, 1U);
  for (uint32_t i = 0; i < operations; ++i) {
    size_t choice = Below(weights);
    auto operation = all.begin();
    while (choice >= operation->weight) choice -= (operation++)->weight;
    (this->*operation->run)();
    if (i % checkpoint_every == checkpoint_every - 1) Checkpoint();
    ASSERT_FALSE(HasFailure()) << "seed " << seed << ", operation " << i << ": " << operation->name;
  }
  CheckAll();
  for (const std::string& snapshot : made_) EXPECT_OK(rmdir(snapshot.c_str()));
}

TEST_F(RandomIo, AgreesWithTheModel) {
  Run(NumberFromEnvironment("POSIX_TEST_OPERATIONS", 20'000),
      NumberFromEnvironment("POSIX_TEST_SEED", 1));
}

}  // namespace
}  // namespace ckptfs::testing
