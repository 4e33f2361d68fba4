// Names.
#include <fmt/format.h>
#include <linux/fs.h>
#include <unistd.h>

#include <cstdio>

#include "tests/fsx/operations.h"

namespace ckptfs::fsx {
namespace {

void Create(World& world) {
  const std::string name = world.PickAnyName();
  if (!world.live.contains(name)) world.Open(name, O_CREAT | O_EXCL | O_RDWR);
}

void Unlink(World& world) {
  const std::string name = world.PickName();
  const InodePtr inode = world.live.at(name);
  world.Note(*inode, "unlink " + name);
  world.Expect(unlink(world.Path(name).c_str()), *inode, "unlink " + name);
  world.live.erase(name);
  world.CheckStatus(inode);
}

void Link(World& world) {
  const std::string name = world.PickName();
  const std::string other = world.PickAnyName();
  if (world.live.contains(other)) return;
  const InodePtr inode = world.live.at(name);
  world.Note(*inode, fmt::format("link {} to {}", name, other));
  world.Expect(link(world.Path(name).c_str(), world.Path(other).c_str()), *inode, "link");
  world.live[other] = inode;
  world.CheckStatus(inode);
}

void Rename(World& world) {
  const std::string name = world.PickName();
  const std::string other = world.PickAnyName();
  const InodePtr inode = world.live.at(name);
  const InodePtr replaced = world.live.contains(other) ? world.live.at(other) : nullptr;
  const bool exchange = replaced && world.OneIn(3);
  world.NoteFiles({inode->id, replaced ? replaced->id : inode->id},
                  fmt::format("{} {} (file {}) and {} (file {})", exchange ? "exchange" : "rename",
                              name, inode->id, other, replaced ? replaced->id : 0));
  world.Expect(renameat2(AT_FDCWD, world.Path(name).c_str(), AT_FDCWD, world.Path(other).c_str(),
                         exchange ? RENAME_EXCHANGE : 0),
               *inode, "rename");
  // Two names of one file: nothing happens.
  if (inode != replaced) {
    world.live[other] = inode;
    if (exchange) {
      world.live[name] = replaced;
    } else {
      world.live.erase(name);
    }
  }
  world.CheckStatus(inode);
  if (replaced) world.CheckStatus(replaced);
}

}  // namespace

std::vector<Operation> NameOperations() {
  return {{"create", 12, Create}, {"unlink", 8, Unlink}, {"link", 8, Link}, {"rename", 15, Rename}};
}

}  // namespace ckptfs::fsx
