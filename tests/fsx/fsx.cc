// ckptfs_fsx: random operations on files, each checked against a model in memory.
//
// Each job, a process, makes a directory of its own (on ckptfs a workspace), and in it does whatever
// programs do to files: reads and writes of all kinds, stores to mappings that are kept, truncates,
// punches, copies, renames; and between them checkpoints and rollbacks. It knows what every byte,
// size, link count and time has to be, in the files and in all snapshots. The numbers are random and
// the same for the same seed.
//
// Without --snapshots it is at home on any filesystem that has what btrfs has: what holds there has
// to hold on ckptfs.
//
// Exit status: 0 if all was as expected, 1 if something was not, 2 if it could not run.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <numeric>
#include <vector>

#include "backend/base/error.h"
#include "tests/fsx/operations.h"

namespace ckptfs::fsx {
namespace {

std::vector<Operation> AllOperations(const World& world) {
  std::vector<Operation> all;
  const auto add = [&](const std::vector<Operation>& more) {
    all.insert(all.end(), more.begin(), more.end());
  };
  add(DataOperations());
  add(MappedOperations());
  add(RangeOperations());
  add(FileOperations());
  add(NameOperations());
  if (world.makes_snapshots()) add(SnapshotOperations());
  return all;
}

const Operation& Pick(World& world, const std::vector<Operation>& all) {
  const size_t weights = std::accumulate(
      all.begin(), all.end(), size_t{0},
      [](size_t sum, const Operation& operation) { return sum + operation.weight; });
  size_t choice = world.Below(weights);
  auto operation = all.begin();
  while (choice >= operation->weight) choice -= (operation++)->weight;
  return *operation;
}

// Changes a byte of what is expected: proves that a difference is found.
void Plant(World& world) {
  const InodePtr inode = world.live.at(world.PickName());
  if (inode->bytes.empty()) return;
  const size_t at = world.Below(inode->bytes.size());
  inode->bytes[at] = static_cast<char>(~inode->bytes[at]);
  world.Note(*inode, fmt::format("planted at {}", at));
}

void CheckEverything(World& world) {
  world.handles.clear();
  world.mappings.clear();
  world.NoteAll("check everything at the end");
  world.CheckTree(world.directory(), world.live);
  for (Snapshot& snapshot : world.snapshots) CheckSnapshot(world, snapshot);
}

int Report(const World& world, const char* current, uint64_t file, const char* what) {
  const Options& options = world.options();
  fmt::print("FAILED: seed {}, job {} of {}, operation {} ({}), file {}:\n  {}\n", options.seed,
             world.job(), options.jobs, world.operation, current, file, what);
  if (file != 0) {
    fmt::print("The last operations that concern it:\n");
    world.log.Print(stdout, file, options.history);
  }
  fmt::print("The last operations of all:\n");
  world.log.Print(stdout, 0, options.history / 3);
  return 1;
}

int Run(World& world) {
  const Options& options = world.options();
  const auto start = std::chrono::steady_clock::now();
  const std::vector<Operation> all = AllOperations(world);
  const char* current = "nothing";
  try {
    for (world.operation = 1; world.operation <= options.operations; ++world.operation) {
      if (options.plant != 0 && world.operation >= options.plant) Plant(world);
      const Operation& operation = Pick(world, all);
      current = operation.name;
      operation.perform(world);
      if (world.OneIn(3)) world.CheckStatus(world.live.at(world.PickName()));
    }
    current = "the end";
    CheckEverything(world);
  } catch (const Mismatch& mismatch) {
    return Report(world, current, mismatch.file(), mismatch.what());
  } catch (const std::exception& error) {
    return Report(world, current, 0, error.what());
  }
  world.RemoveAll();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  fmt::print("job {}: {} operations in {:.1f} s\n", world.job(), options.operations, took.count());
  return 0;
}

int RunJob(const Options& options, int job) {
  int status = 2;
  try {
    World world(options, job);
    status = Run(world);
  } catch (const std::exception& error) {
    fmt::print("ckptfs_fsx: seed {}, job {}: {}\n", options.seed, job, error.what());
  }
  std::fflush(nullptr);
  return status;
}

int RunAll(const Options& options) {
  std::fflush(nullptr);
  for (int job = 0; job < options.jobs; ++job) {
    if (CheckSyscall(fork(), "start a job") == 0) _exit(RunJob(options, job));
  }
  int worst = 0;
  for (int job = 0; job < options.jobs; ++job) {
    int status = 0;
    CheckSyscall(wait(&status), "wait for a job");
    if (WIFSIGNALED(status)) fmt::print("a job was killed by signal {}\n", WTERMSIG(status));
    worst = std::max(worst, WIFEXITED(status) ? WEXITSTATUS(status) : 2);
  }
  return worst;
}

}  // namespace
}  // namespace ckptfs::fsx

int main(int argc, char** argv) {
  ckptfs::fsx::Options options;
  bool no_checkpoints = false;
  CLI::App app("Random operations on files and snapshots, each checked against a model");
  app.add_option("--directory", options.directory,
                 "Where each job makes a directory: the root of a mount")
      ->required();
  app.add_option("--snapshots", options.snapshots, "The .snapshots of that mount");
  app.add_flag("--no-checkpoints", no_checkpoints, "Make none: for any filesystem");
  app.add_option("--operations", options.operations, "How many, of each job");
  app.add_option("--seed", options.seed, "Decides what is done");
  app.add_option("--jobs", options.jobs, "How many at once");
  app.add_flag("--through-daemon", options.through_daemon,
               "The daemon has no passthrough: it learns late of stores to mappings");
  app.add_option("--plant", options.plant, "Be wrong from that operation on: the run has to fail");
  app.add_option("--log", options.log, "Write all operations to this file");
  app.add_option("--history", options.history, "How many operations to print on a failure");
  CLI11_PARSE(app, argc, argv);
  if (no_checkpoints) options.snapshots.clear();
  try {
    return ckptfs::fsx::RunAll(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "ckptfs_fsx: {}\n", error.what());
    return 2;
  }
}
