// What every backend has to do (backend/interface/backend.h).
#include "backend/interface/backend.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <thread>

#include "backend/base/directory.h"
#include "backend/registry.h"
#include "tests/unit/backend/backend_fixture.h"
#include "tests/unit/backend/comparisons.h"

namespace ckptfs {
namespace {

INSTANTIATE_TEST_SUITE_P(Types, BackendTest,
                         testing::Values("btrfs-loop", "btrfs-base", "dm-snapshot", "dm-thin"),
                         BackendTest::NameOf);

TEST_P(BackendTest, NewVolumeIsAnEmptyWritableDirectory) {
  const mode_t umask_before = umask(077);
  const VolumeId id = MakeVolume();
  umask(umask_before);
  const auto volume = backend_->Open(id);
  struct stat stat {};
  ASSERT_EQ(fstat(volume->root_fd(), &stat), 0);
  EXPECT_EQ(stat.st_mode, mode_t{S_IFDIR | 0755});
  EXPECT_EQ(stat.st_uid, 0u);
  EXPECT_EQ(stat.st_ino, volume->root_inode());
  WriteFileAt(volume->root_fd(), "file", "content");
  EXPECT_EQ(ErrnoOf([&] { backend_->CreateEmpty(id); }), EEXIST);
  EXPECT_EQ(ErrnoOf([&] { backend_->Open(VolumeId::Generate()); }), ENOENT);
}

TEST_P(BackendTest, SnapshotKeepsAndCloneGoesOn) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  WriteFileAt(volume->root_fd(), "file", "before");
  const VolumeId snapshot = TakeSnapshot(live);
  WriteFileAt(volume->root_fd(), "file", "after");
  const VolumeId clone = VolumeId::Generate();
  backend_->Clone(snapshot, clone);

  EXPECT_EQ(ReadFileAt(backend_->Open(snapshot)->root_fd(), "file"), "before");
  EXPECT_EQ(ErrnoOf([&] { WriteFileAt(backend_->Open(snapshot)->root_fd(), "file", "x"); }), EROFS);
  const auto cloned = backend_->Open(clone);
  EXPECT_EQ(ReadFileAt(cloned->root_fd(), "file"), "before");
  WriteFileAt(cloned->root_fd(), "file", "clone");
  EXPECT_EQ(ReadFileAt(volume->root_fd(), "file"), "after");
  EXPECT_EQ(ErrnoOf([&] { backend_->Snapshot(live, snapshot); }), EEXIST);
  EXPECT_EQ(ErrnoOf([&] { backend_->Snapshot(VolumeId::Generate(), VolumeId::Generate()); }),
            ENOENT);
}

TEST_P(BackendTest, SealMakesReadOnlyForGood) {
  const VolumeId live = MakeVolume();
  WriteFileAt(backend_->Open(live)->root_fd(), "file", "kept");
  backend_->Seal(live);
  backend_->Seal(live);
  EXPECT_EQ(ErrnoOf([&] { WriteFileAt(backend_->Open(live)->root_fd(), "file", "x"); }), EROFS);
  ASSERT_EQ(backend_->List().size(), 1u);
  EXPECT_TRUE(backend_->List()[0].read_only);
  EXPECT_EQ(ReadFileAt(backend_->Open(live)->root_fd(), "file"), "kept");
}

TEST_P(BackendTest, FilesAreReachedByNumberInEveryVolume) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  WriteFileAt(volume->root_fd(), "file", "old");
  ASSERT_EQ(symlinkat("/etc/passwd", volume->root_fd(), "link"), 0);
  ASSERT_EQ(mkdirat(volume->root_fd(), "dir", 0755), 0);
  const FileId file = volume->Identify(volume->root_fd(), "file");
  const FileId link = volume->Identify(volume->root_fd(), "link");
  const FileId dir = volume->Identify(volume->root_fd(), "dir");
  const auto snapshot = backend_->Open(TakeSnapshot(live));
  WriteFileAt(volume->root_fd(), "file", "new");

  char text[3] = {};
  EXPECT_EQ(read(volume->OpenInode(file, O_RDONLY).get(), text, 3), 3);
  EXPECT_EQ(std::string(text, 3), "new");
  EXPECT_EQ(read(snapshot->OpenInode(file, O_RDONLY).get(), text, 3), 3);
  EXPECT_EQ(std::string(text, 3), "old");
  EXPECT_EQ(snapshot->Identify(snapshot->root_fd(), "file"), file);

  struct stat stat {};
  ASSERT_EQ(fstat(volume->OpenInode(link, O_PATH | O_NOFOLLOW).get(), &stat), 0);
  EXPECT_TRUE(S_ISLNK(stat.st_mode));
  const UniqueFd opened = volume->OpenInode(dir, O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(volume->Identify(opened.get(), ""), dir);
  EXPECT_EQ(volume->Identify(volume->root_fd(), "").inode, volume->root_inode());
  EXPECT_TRUE(fcntl(opened.get(), F_GETFD) & FD_CLOEXEC);
}

TEST_P(BackendTest, IdentityOfWhatIsNotThere) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  WriteFileAt(volume->root_fd(), "file", "x");
  FileId file = volume->Identify(volume->root_fd(), "file");
  EXPECT_EQ(ErrnoOf([&] { volume->Identify(volume->root_fd(), "none"); }), ENOENT);

  FileId other_generation = file;
  ++other_generation.generation;
  EXPECT_EQ(ErrnoOf([&] { volume->OpenInode(other_generation, O_PATH); }), ESTALE);
  EXPECT_EQ(ErrnoOf([&] { volume->OpenInode({file.inode, 0}, O_PATH); }), 0);
  ASSERT_EQ(unlinkat(volume->root_fd(), "file", 0), 0);
  EXPECT_EQ(ErrnoOf([&] { volume->OpenInode(file, O_PATH); }), ESTALE);
  EXPECT_EQ(ErrnoOf([&] { volume->OpenInode({1, 0}, O_PATH); }), ESTALE);
}

TEST_P(BackendTest, VolumeOutlivesTheBackend) {
  const VolumeId live = MakeVolume();
  auto volume = backend_->Open(live);
  WriteFileAt(volume->root_fd(), "file", "still here");
  backend_.reset();
  EXPECT_EQ(ReadFileAt(volume->root_fd(), "file"), "still here");
}

TEST_P(BackendTest, MarkerStaysOverSnapshotsAndMovesWithChanges) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  const int root = volume->root_fd();
  WriteFileAt(root, "file", "content");
  VolumeId last = TakeSnapshot(live);

  // What changes nothing: more snapshots, clones, syncs, other volumes, looking.
  const uint64_t marker = backend_->ChangeMarker(live);
  EXPECT_EQ(backend_->ChangeMarker(last), marker);
  const VolumeId clone = VolumeId::Generate();
  backend_->Clone(last, clone);
  TakeSnapshot(live);
  WriteFileAt(backend_->Open(MakeVolume())->root_fd(), "file", "elsewhere");
  backend_->SettleChanges(live);
  struct stat stat {};
  ASSERT_EQ(fstatat(root, "file", &stat, 0), 0);
  EXPECT_EQ(backend_->ChangeMarker(live), marker);
  {
    // The first file that is opened in it.
    const auto cloned = backend_->Open(clone);
    const UniqueFd file(openat(cloned->root_fd(), "file", O_RDONLY | O_NOATIME | O_CLOEXEC));
    ASSERT_TRUE(file.valid());
    backend_->SettleChanges(clone);
  }
  EXPECT_EQ(backend_->ChangeMarker(clone), marker);

  const std::vector<std::pair<const char*, std::function<void()>>> changes = {
      {"create", [&] { WriteFileAt(root, "new", ""); }},
      {"write", [&] { WriteFileAt(root, "file", "CONTENT"); }},
      {"chmod", [&] { ASSERT_EQ(fchmodat(root, "file", 0600, 0), 0); }},
      {"chmod of the root", [&] { ASSERT_EQ(fchmod(root, 0700), 0); }},
      {"xattr",
       [&] {
         const UniqueFd fd(openat(root, "file", O_RDONLY | O_CLOEXEC));
         ASSERT_EQ(fsetxattr(fd.get(), "user.a", "b", 1, 0), 0);
       }},
      {"rename", [&] { ASSERT_EQ(renameat(root, "new", root, "newer"), 0); }},
      {"unlink", [&] { ASSERT_EQ(unlinkat(root, "newer", 0), 0); }},
      {"utimes", [&] { ASSERT_EQ(utimensat(root, "file", nullptr, 0), 0); }},
      {"punch",
       [&] {
         const UniqueFd fd(openat(root, "file", O_RDWR | O_CLOEXEC));
         ASSERT_EQ(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
       }},
  };
  for (const auto& [what, change] : changes) {
    const uint64_t before = backend_->ChangeMarker(last);
    EXPECT_EQ(backend_->ChangeMarker(live), before) << "before " << what;
    change();
    backend_->SettleChanges(live);
    EXPECT_NE(backend_->ChangeMarker(live), before) << what;
    last = TakeSnapshot(live);
  }
}

TEST_P(BackendTest, MarkerSurvivesReopening) {
  const VolumeId live = MakeVolume();
  WriteFileAt(backend_->Open(live)->root_fd(), "file", "content");
  TakeSnapshot(live);
  const uint64_t marker = backend_->ChangeMarker(live);
  Reopen({});
  EXPECT_EQ(backend_->ChangeMarker(live), marker);
}

TEST_P(BackendTest, ComparesVolumes) {
  const VolumeId live = MakeVolume();
  const auto volume = backend_->Open(live);
  WriteFileAt(volume->root_fd(), "kept", "1");
  WriteFileAt(volume->root_fd(), "gone", "2");
  const VolumeId older = TakeSnapshot(live);
  ASSERT_EQ(unlinkat(volume->root_fd(), "gone", 0), 0);
  WriteFileAt(volume->root_fd(), "new", "3");
  const VolumeId newer = TakeSnapshot(live);
  std::vector<std::pair<DiffKind, std::string>> changes;
  for (const DiffEntry& change : backend_->Changes(older, newer, NoLimits(), Extent::kAll).All()) {
    changes.emplace_back(change.kind, change.path);
  }
  EXPECT_THAT(changes, testing::ElementsAre(std::pair(DiffKind::kRemoved, "gone"),
                                            std::pair(DiffKind::kAdded, "new")));
  EXPECT_EQ(
      ErrnoOf([&] { backend_->Changes(older, VolumeId::Generate(), NoLimits(), Extent::kAll); }),
      ENOENT);
}

TEST_P(BackendTest, ReadOnlyRefusesChangesAndStillReads) {
  const VolumeId live = MakeVolume();
  WriteFileAt(backend_->Open(live)->root_fd(), "file", "content");
  backend_->Sync(live);
  Reopen({.read_only = true});
  EXPECT_EQ(ReadFileAt(backend_->Open(live)->root_fd(), "file"), "content");
  EXPECT_EQ(ErrnoOf([&] { TakeSnapshot(live); }), EROFS);
  EXPECT_EQ(ErrnoOf([&] { backend_->Destroy(live); }), EROFS);
  EXPECT_EQ(ErrnoOf([&] { MakeVolume(); }), EROFS);
  EXPECT_EQ(backend_->List().size(), 1u);
}

TEST_P(BackendTest, NoAtimeIsTheVolumesOption) {
  const VolumeId live = MakeVolume();
  for (const bool no_atime : {false, true}) {
    Reopen(
        {.access_times = {.rule = no_atime ? AccessTimeRule::kNone : AccessTimeRule::kRelative}});
    const auto volume = backend_->Open(live);
    WriteFileAt(volume->root_fd(), "file", "content");
    const timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    ASSERT_EQ(utimensat(volume->root_fd(), "file", times, 0), 0);
    EXPECT_EQ(ReadFileAt(volume->root_fd(), "file"), "content");
    struct stat stat {};
    ASSERT_EQ(fstatat(volume->root_fd(), "file", &stat, 0), 0);
    EXPECT_EQ(stat.st_atim.tv_sec == 1000, no_atime);
  }
}

// So that the same directory can be used when what was wrong is put right.
TEST_P(BackendTest, ACreationThatFailsLeavesNothing) {
  const TestDirectory directory;
  EXPECT_NE(ErrnoOf([&] { CreateBackend(directory.fd(), GetParam(), {.size_bytes = 1 << 20}); }),
            0);
  EXPECT_THAT(ReadDirectory(directory.fd()), testing::IsEmpty());
}

TEST_P(BackendTest, ManyThreadsAtOnce) {
  const VolumeId live = MakeVolume();
  WriteFileAt(backend_->Open(live)->root_fd(), "file", "content");
  std::atomic<int> failures = 0;
  {
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        try {
          for (int i = 0; i < 5; ++i) {
            const VolumeId snapshot = TakeSnapshot(live);
            const auto volume = backend_->Open(snapshot);
            if (ReadFileAt(volume->root_fd(), "file") != "content") ++failures;
            backend_->List();
            backend_->ListForeign();
            backend_->Space();
            backend_->Destroy(snapshot);
            backend_->WaitDurable();
          }
        } catch (const Error& error) {
          ADD_FAILURE() << error.what();
        }
      });
    }
  }
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(backend_->List().size(), 1u);
}

}  // namespace
}  // namespace ckptfs
