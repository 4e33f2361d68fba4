#include "fs/files/node_resolver.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "backend/base/error.h"
#include "fs/fuse/fuse_kernel_cache.h"
#include "fs/open/open_inodes.h"
#include "tests/unit/catalog/store/store_fixture.h"
#include "tests/unit/catalog/store/whole_operations.h"

namespace ckptfs {
namespace {

// What node ids stand for, on a real store. The kernel is not there: nothing is mounted.
class NodeResolutionTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    Reopen();
    MakeWorkspace("w", "1");
    mount_.emplace(store(), kernel_);
  }
  void TearDown() override {
    mount_.reset();
    StoreTest::TearDown();
  }

  std::shared_ptr<LiveWorkspace> Live() { return mount_->nodes.workspaces.Get(Workspace("w").id); }
  NodeId Root() { return Live()->AcquireRoot().node; }
  // The node of its file "f", as it is now.
  NodeId File() {
    const auto live = Live()->live();
    const FileId file = live->volume->Identify(live->volume->root_fd(), "f");
    mount_->nodes.slots.Count(live->files->slot);
    return MakeNumber(live->files->slot, file.inode);
  }
  NodeId RootOf(const SnapshotRecord& snapshot) {
    return MakeNumber(mount_->nodes.slots.AcquireSnapshot(snapshot, SnapDir::kRoot)->slot,
                      kRootInode);
  }
  int ErrnoOfResolve(NodeId node) {
    return ErrnoOf([&] { mount_->resolver.Resolve(node); });
  }

  FuseKernelCache kernel_;  // attached to nothing
  struct Mounted {
    Mounted(Store& store, KernelCache& kernel) : nodes(store), open(nodes, kernel) {}
    Nodes nodes;
    OpenInodes open;
    Tidier tidier{nodes, open.mapped};
    NodeResolver resolver{nodes, open.files, tidier};
  };
  std::optional<Mounted> mount_;
};

TEST_F(NodeResolutionTest, TheRootOfAWorkspace) {
  const Node node = mount_->resolver.Resolve(Root());
  EXPECT_TRUE(node.is_root);
  EXPECT_EQ(node.workspace, Live());
  EXPECT_EQ(node.volume->id(), Workspace("w").volume);
  EXPECT_EQ(node.file.inode, node.volume->root_inode());
  EXPECT_EQ(node.files, Live()->live()->files);
  EXPECT_FALSE(node.in_writing);
}

TEST_F(NodeResolutionTest, ADirectoryIsTheOneThatTheKernelHasBeenToldOf) {
  const auto live = Live()->live();
  CheckSyscall(mkdirat(live->volume->root_fd(), "d", 0755), "make a directory");
  const FileId id = live->volume->Identify(live->volume->root_fd(), "d");
  const Node node = mount_->resolver.Resolve(Live()->AcquireDirectory(id).node);
  EXPECT_FALSE(node.is_root);
  EXPECT_EQ(node.file, id) << "with its generation";
  EXPECT_EQ(node.workspace, Live());
}

TEST_F(NodeResolutionTest, AFileStaysInItsVolumeAndADirectoryDoesNot) {
  const NodeId root = Root();
  const NodeId file = File();
  const VolumeId before = mount_->resolver.Resolve(file).volume->id();
  const SnapshotRecord snapshot = Checkpoint("w", "s");
  Rollback("w", snapshot);
  Write("w", "2");
  Live()->Switch(store().backend().Open(Workspace("w").volume), snapshot.view);
  const Node directory = mount_->resolver.Resolve(root);
  EXPECT_EQ(directory.volume->id(), Workspace("w").volume);
  EXPECT_NE(directory.volume->id(), before);
  const Node old_file = mount_->resolver.Resolve(file);
  EXPECT_EQ(old_file.volume->id(), before);
  EXPECT_EQ(old_file.file.generation, 0U) << "any";
  EXPECT_EQ(mount_->resolver.Resolve(File()).volume->id(), Workspace("w").volume);
}

TEST_F(NodeResolutionTest, ASlotThatNobodyHasIsStale) {
  EXPECT_EQ(ErrnoOfResolve(MakeNumber(4711, kRootInode)), ESTALE);
}

TEST_F(NodeResolutionTest, AWorkspaceWithoutDataIsAnErrorUntilItHasGone) {
  const NodeId root = Root();
  const auto workspace = Live();
  workspace->Switch(nullptr, 0);
  EXPECT_EQ(ErrnoOfResolve(root), EIO);
  workspace->Retire();
  EXPECT_EQ(ErrnoOfResolve(root), ESTALE);
}

TEST_F(NodeResolutionTest, ASnapshotIsOfNoWorkspace) {
  const SnapshotRecord snapshot = Checkpoint("w", "s");
  const Node node = mount_->resolver.Resolve(RootOf(snapshot));
  EXPECT_TRUE(node.is_root);
  EXPECT_EQ(node.workspace, nullptr);
  EXPECT_EQ(node.files, nullptr);
  EXPECT_EQ(node.volume->id(), snapshot.volume);
  EXPECT_FALSE(node.in_writing);
}

TEST_F(NodeResolutionTest, ASnapshotThatHasBeenDeletedIsStale) {
  const SnapshotRecord snapshot = Checkpoint("w", "s");
  const NodeId root = RootOf(snapshot);
  store().DeleteSnapshot(snapshot.id, false);
  EXPECT_EQ(ErrnoOfResolve(root), ESTALE);
}

// Nobody has deleted it: the data is lost, and that is noted.
TEST_F(NodeResolutionTest, ASnapshotWithoutDataIsAnErrorAndNoted) {
  const SnapshotRecord snapshot = Checkpoint("w", "s");
  const NodeId root = RootOf(snapshot);
  store().backend().Destroy(snapshot.volume);
  EXPECT_EQ(ErrnoOfResolve(root), EIO);
  const auto is_noted = [&] { return Snapshot("w", "s").state == SnapshotState::kMissing; };
  for (int i = 0; i < 1000 && !is_noted(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(is_noted());
}

// Of a state that a rollback has dropped, as a snapshot is equal to it.
TEST_F(NodeResolutionTest, AFileOfADroppedStateIsFoundInItsTwin) {
  const NodeId file = File();
  const SnapshotRecord twin = Checkpoint("w", "s");
  Live()->live()->files->SetTwin(twin.volume);
  EXPECT_EQ(mount_->resolver.Resolve(file).volume->id(), twin.volume);
  mount_->nodes.volumes.Drop(twin.volume);
  store().DeleteSnapshot(twin.id, false);
  EXPECT_EQ(mount_->resolver.Resolve(file).volume->id(), Workspace("w").volume)
      << "it is held as long as anybody may need it";
}

}  // namespace
}  // namespace ckptfs
