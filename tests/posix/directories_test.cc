// Directories: names, listings, depth.
#include <dirent.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

using Listing = std::unique_ptr<DIR, int (*)(DIR*)>;
Listing OpenListing(const std::string& path) { return {opendir(path.c_str()), closedir}; }

class Directories : public PosixTest {};

TEST_F(Directories, NamesOfAnyLengthAndBytes) {
  const std::vector<std::string> names = {std::string(255, 'n'),
                                          std::string(254, 'n'),
                                          "a",
                                          " ",
                                          "\n",
                                          "\t tab",
                                          "-rf",
                                          "*",
                                          "\\",
                                          "\"'`$(x)",
                                          "\xff\xfe",
                                          "\x80",
                                          "\x01",
                                          "\xc3\xa9",
                                          "e\xcc\x81",
                                          "...",
                                          ".hidden",
                                          "A",
                                          "\x7f"};
  for (const std::string& name : names) WriteFile(Path(name), name);
  for (const std::string& name : names) EXPECT_EQ(ReadFile(Path(name)), name);
  std::vector<std::string> sorted = names;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(List(dir()), sorted);
  const std::string longer = Path(std::string(256, 'n'));
  struct stat status {};
  EXPECT_ERRNO(ENAMETOOLONG, open(longer.c_str(), O_CREAT | O_RDWR, 0644));
  EXPECT_ERRNO(ENAMETOOLONG, mkdir(longer.c_str(), 0755));
  EXPECT_ERRNO(ENAMETOOLONG, rename(Path("a").c_str(), longer.c_str()));
  EXPECT_ERRNO(ENAMETOOLONG, symlink("x", longer.c_str()));
  EXPECT_ERRNO(ENAMETOOLONG, link(Path("a").c_str(), longer.c_str()));
  EXPECT_ERRNO(ENAMETOOLONG, stat(longer.c_str(), &status));
}

// What is renamed while it is listed gets a new place, at the end.
TEST_F(Directories, AListingEndsWhereTheDirectoryDid) {
  constexpr size_t kFiles = 3000;
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  for (size_t i = 0; i < kFiles; ++i) WriteFile(Path("d/" + std::to_string(i)), "");
  const auto next = [](const Listing& listing) -> std::string {
    const dirent* entry = readdir(listing.get());
    return entry != nullptr ? entry->d_name : "";
  };
  const auto rename_twice = [&](const std::string& name) {
    if (name == "." || name == "..") return;
    ASSERT_OK(rename(Path("d/" + name).c_str(), Path("d/away").c_str()));
    ASSERT_OK(rename(Path("d/away").c_str(), Path("d/" + name).c_str()));
  };
  for (int round = 0; round < 2; ++round) {
    SCOPED_TRACE(round);
    const Listing one = OpenListing(Path("d"));
    const Listing other = OpenListing(Path("d"));
    size_t listed = 0;
    std::string name;
    while (!(name = next(one)).empty() && listed < 2 * kFiles) {
      ++listed;
      rename_twice(name);
      next(other);
    }
    EXPECT_EQ(listed, kFiles + 2);
    EXPECT_EQ(next(one), "") << "an end is an end";
    rewinddir(one.get());
    std::set<std::string> again;
    while (!(name = next(one)).empty()) again.insert(name);
    EXPECT_EQ(again.size(), kFiles + 2);
  }
}

TEST_F(Directories, APlaceInAListing) {
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  for (int i = 0; i < 2000; ++i) WriteFile(Path("d/" + std::to_string(i)), "");
  const Listing listing = OpenListing(Path("d"));
  std::vector<std::pair<long, std::string>> places;
  while (true) {
    const long place = telldir(listing.get());
    const dirent* entry = readdir(listing.get());
    if (entry == nullptr) break;
    places.emplace_back(place, entry->d_name);
  }
  ASSERT_EQ(places.size(), 2002U);
  for (const size_t at : {size_t{1500}, size_t{3}, size_t{2001}, size_t{0}, size_t{700}}) {
    seekdir(listing.get(), places[at].first);
    const dirent* entry = readdir(listing.get());
    ASSERT_NE(entry, nullptr) << at;
    EXPECT_EQ(entry->d_name, places[at].second);
  }
}

TEST_F(Directories, MakeAndRemove) {
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  EXPECT_ERRNO(EEXIST, mkdir(Path("d").c_str(), 0755));
  EXPECT_ERRNO(EEXIST, mkdir(Path("d/.").c_str(), 0755));
  EXPECT_ERRNO(ENOENT, mkdir(Path("none/d").c_str(), 0755));
  EXPECT_ERRNO(EINVAL, rmdir(Path("d/.").c_str()));
  EXPECT_ERRNO(ENOTEMPTY, rmdir(Path("d/..").c_str()));
  WriteFile(Path("d/f"), "");
  EXPECT_ERRNO(ENOTEMPTY, rmdir(Path("d").c_str()));
  EXPECT_ERRNO(EISDIR, unlink(Path("d").c_str()));
  EXPECT_ERRNO(ENOTDIR, rmdir(Path("d/f").c_str()));
  EXPECT_ERRNO(ENOTDIR, unlink(Path("d/f/x").c_str()));
  ASSERT_OK(unlink(Path("d/f").c_str()));
  EXPECT_OK(rmdir(Path("d").c_str()));
  EXPECT_ERRNO(ENOENT, rmdir(Path("d").c_str()));
  // A name that was looked for in vain is there as soon as it is made.
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(Exists(Path("d")));
    ASSERT_OK(mkdir(Path("d").c_str(), 0755));
    EXPECT_TRUE(Exists(Path("d")));
    ASSERT_OK(rmdir(Path("d").c_str()));
  }
}

TEST_F(Directories, SizeIsThatOfBtrfs) {
  // btrfs counts the bytes of the names twice: programs that show it show the same here.
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  EXPECT_EQ(Stat(Path("d")).st_size, 0);
  WriteFile(Path("d/12345"), "");
  EXPECT_EQ(Stat(Path("d")).st_size, 10);
}

TEST_F(Directories, EntriesTellTypeAndNumber) {
  WriteFile(Path("file"), "");
  ASSERT_OK(mkdir(Path("directory").c_str(), 0755));
  ASSERT_OK(symlink("x", Path("symlink").c_str()));
  ASSERT_OK(mkfifo(Path("fifo").c_str(), 0644));
  ASSERT_OK(mknod(Path("socket").c_str(), S_IFSOCK | 0644, 0));
  ASSERT_OK(mknod(Path("device").c_str(), S_IFCHR | 0644, makedev(1, 3)));
  const std::map<std::string, unsigned char> types = {
      {"file", DT_REG},    {"directory", DT_DIR}, {"symlink", DT_LNK}, {"fifo", DT_FIFO},
      {"socket", DT_SOCK}, {"device", DT_CHR},    {".", DT_DIR},       {"..", DT_DIR}};
  for (int round = 0; round < 2; ++round) {  // the second time from the kernel's cache
    const Listing listing = OpenListing(dir());
    size_t found = 0;
    while (const dirent* entry = readdir(listing.get())) {
      SCOPED_TRACE(entry->d_name);
      ++found;
      ASSERT_EQ(types.count(entry->d_name), 1U);
      EXPECT_EQ(entry->d_type, types.at(entry->d_name));
      // ".." of a workspace's first level is the one number that FUSE makes up itself.
      if (std::string(entry->d_name) != "..") {
        EXPECT_EQ(entry->d_ino, Stat(Path(entry->d_name)).st_ino);
      }
    }
    EXPECT_EQ(found, types.size());
  }
}

TEST_F(Directories, PositionsStay) {
  constexpr int kFiles = 500;
  for (int i = 0; i < kFiles; ++i) WriteFile(Path("file " + std::to_string(i)), "");
  const Listing listing = OpenListing(dir());
  std::vector<std::pair<long, std::string>> seen;  // the position before each name
  while (true) {
    const long position = telldir(listing.get());
    const dirent* entry = readdir(listing.get());
    if (entry == nullptr) break;
    seen.emplace_back(position, entry->d_name);
  }
  ASSERT_EQ(seen.size(), size_t{kFiles + 2});
  for (const size_t index : {size_t{499}, size_t{3}, size_t{250}, size_t{0}, size_t{501}}) {
    seekdir(listing.get(), seen[index].first);
    const dirent* entry = readdir(listing.get());
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->d_name, seen[index].second) << index;
  }
  // And so they do when names before and after them go.
  ASSERT_OK(unlink(Path(seen[100].second).c_str()));
  ASSERT_OK(unlink(Path(seen[400].second).c_str()));
  seekdir(listing.get(), seen[250].first);
  EXPECT_EQ(readdir(listing.get())->d_name, seen[250].second);
  rewinddir(listing.get());
  WriteFile(Path("new"), "");
  std::set<std::string> names;
  rewinddir(listing.get());
  while (const dirent* entry = readdir(listing.get())) names.insert(entry->d_name);
  EXPECT_EQ(names.size(), size_t{kFiles + 2 - 2 + 1});
  EXPECT_EQ(names.count("new"), 1U);
}

TEST_F(Directories, NamesThatStayAreListedOnceWhileOthersComeAndGo) {
  constexpr int kFiles = 2000;
  for (int i = 0; i < kFiles; ++i) WriteFile(Path(std::to_string(i)), "");
  const Listing listing = OpenListing(dir());
  std::multiset<std::string> seen;
  int step = 0;
  while (const dirent* entry = readdir(listing.get())) {
    seen.insert(entry->d_name);
    // Odd numbers are deleted or renamed under the reader's feet, and new names are made.
    const int victim = (step * 7 % kFiles) | 1;
    if (step % 3 == 0) unlink(Path(std::to_string(victim)).c_str());
    if (step % 3 == 1) {
      rename(Path(std::to_string(victim)).c_str(), Path("r" + std::to_string(step)).c_str());
    }
    if (step % 3 == 2 && step < 3000) WriteFile(Path("n" + std::to_string(step)), "");
    ++step;
    ASSERT_LT(step, 20 * kFiles) << "the listing does not end";
  }
  for (int i = 0; i < kFiles; i += 2) {
    EXPECT_EQ(seen.count(std::to_string(i)), 1U) << i;
  }
}

TEST_F(Directories, AllIsDeletedByWhoListsAndDeletes) {
  constexpr int kFiles = 3000;
  for (int i = 0; i < kFiles; ++i) WriteFile(Path(std::to_string(i)), "");
  const Listing listing = OpenListing(dir());
  int deleted = 0;
  while (const dirent* entry = readdir(listing.get())) {
    if (entry->d_name[0] == '.') continue;
    ASSERT_OK(unlinkat(dirfd(listing.get()), entry->d_name, 0));
    ++deleted;
  }
  EXPECT_EQ(deleted, kFiles);
  EXPECT_TRUE(List(dir()).empty());
}

// POSIX_TEST_ENTRIES: another number than 100,000.
TEST_F(Directories, AHundredThousandEntries) {
  const char* text = std::getenv("POSIX_TEST_ENTRIES");
  const int count = text != nullptr ? std::atoi(text) : 100'000;
  const UniqueFd at = Open(dir(), O_RDONLY | O_DIRECTORY);
  const auto name = [](int i) { return "entry " + std::to_string(i); };
  for (int i = 0; i < count; ++i) {
    ASSERT_OK(mknodat(at.get(), name(i).c_str(), S_IFREG | 0644, 0));
  }
  std::set<std::string> expected;
  for (int i = 0; i < count; ++i) expected.insert(name(i));
  for (int round = 0; round < 2; ++round) {  // the second time from the kernel's cache
    const std::vector<std::string> names = List(dir());
    EXPECT_EQ(names.size(), expected.size()) << "each once";
    EXPECT_TRUE(std::set<std::string>(names.begin(), names.end()) == expected);
  }
  ASSERT_OK(renameat(at.get(), name(count / 2).c_str(), at.get(), "another name"));
  EXPECT_FALSE(Exists(Path(name(count / 2))));
  EXPECT_TRUE(Exists(Path("another name")));
  for (int i = 1; i < count; i += 100) ASSERT_OK(unlinkat(at.get(), name(i).c_str(), 0));
  EXPECT_EQ(List(dir()).size(), static_cast<size_t>(count - (count + 98) / 100));
}

TEST_F(Directories, DeepTrees) {
  // Deeper than PATH_MAX can name: by steps only.
  constexpr int kDepth = 300;
  const std::string name(40, 'd');
  UniqueFd at = Open(dir(), O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_OK(mkdirat(at.get(), name.c_str(), 0755));
    UniqueFd next(openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(next.valid());
    at = std::move(next);
  }
  const UniqueFd file(openat(at.get(), "file", O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_TRUE(file.valid());
  WriteAt(file.get(), 0, "at the bottom");
  EXPECT_EQ(ReadAt(file.get(), 0, 100), "at the bottom");
  EXPECT_TRUE(InChild([&] {
    ASSERT_OK(fchdir(at.get()));
    char buffer[PATH_MAX];
    EXPECT_ERRNO(ENAMETOOLONG, syscall(SYS_getcwd, buffer, sizeof(buffer)));
    for (int i = 0; i < kDepth; ++i) ASSERT_OK(chdir(".."));
    EXPECT_NE(getcwd(buffer, sizeof(buffer)), nullptr);
    EXPECT_EQ(buffer, dir());
  }));
  std::string path = dir();
  while (path.size() + 2 < PATH_MAX) path += "/.";
  struct stat status {};
  EXPECT_OK(stat(path.c_str(), &status));
  path += std::string(3, '/');
  EXPECT_ERRNO(ENAMETOOLONG, stat(path.c_str(), &status));
}

TEST_F(Directories, TheCurrentOneCanBeRemoved) {
  ASSERT_OK(mkdir(Path("d").c_str(), 0755));
  EXPECT_TRUE(InChild([&] {
    ASSERT_OK(chdir(Path("d").c_str()));
    ASSERT_OK(rmdir(Path("d").c_str()));
    char buffer[PATH_MAX];
    EXPECT_EQ(getcwd(buffer, sizeof(buffer)), nullptr);
    EXPECT_EQ(errno, ENOENT);
    EXPECT_ERRNO(ENOENT, open("new", O_CREAT | O_RDWR, 0644));
    EXPECT_ERRNO(ENOENT, mkdir("new", 0755));
    struct stat status {};
    EXPECT_OK(stat(".", &status));
    EXPECT_EQ(status.st_nlink, 0U);
    EXPECT_OK(chdir(".."));
  }));
}

TEST_F(Directories, ADirectoryIsReadByItsOwnBitsOnly) {
  ASSERT_OK(mkdir(Path("search").c_str(), 0755));
  WriteFile(Path("search/f"), "x");
  ASSERT_OK(mkdir(Path("read").c_str(), 0755));
  WriteFile(Path("read/f"), "x");
  Chmod(Path("search"), 0711);
  Chmod(Path("read"), 0744);
  EXPECT_TRUE(AsUser(kAlice, [&] {
    EXPECT_EQ(ReadFile(Path("search/f")), "x");
    EXPECT_EQ(OpenListing(Path("search")), nullptr);
    EXPECT_THAT(List(Path("read")), ::testing::ElementsAre("f"));
    EXPECT_ERRNO(EACCES, open(Path("read/f").c_str(), O_RDONLY));
    EXPECT_ERRNO(EACCES, mkdir(Path("read/x").c_str(), 0755));
    EXPECT_ERRNO(EACCES, unlink(Path("read/f").c_str()));
  }));
}

}  // namespace
}  // namespace ckptfs::testing
