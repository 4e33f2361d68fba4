// The operations, one group per source file.
#pragma once

#include <vector>

#include "tests/fsx/world.h"

namespace ckptfs::fsx {

struct Operation {
  const char* name;
  size_t weight;  // how often it is chosen, relative to the others
  void (*perform)(World& world);
};

std::vector<Operation> DataOperations();      // reads and writes
std::vector<Operation> MappedOperations();    // loads and stores
std::vector<Operation> RangeOperations();     // sizes, holes and copies
std::vector<Operation> FileOperations();      // descriptors, times, syncs
std::vector<Operation> NameOperations();      // links and renames
std::vector<Operation> SnapshotOperations();  // checkpoints and rollbacks

// Throws Mismatch if the snapshot has changed since it was made.
void CheckSnapshot(World& world, Snapshot& snapshot);

}  // namespace ckptfs::fsx
