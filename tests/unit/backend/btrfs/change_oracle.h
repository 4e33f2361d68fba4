// What a comparison of volumes ought to say, found by reading both in whole.
#pragma once

#include <string>
#include <vector>

#include "backend/interface/backend.h"

namespace ckptfs {

// The changes from one tree to the other, by the rules in backend/compare/comparison.h, computed with
// everything in memory and without any code of backend/.
std::vector<DiffEntry> ExpectedChanges(int older_root_fd, int newer_root_fd);

// Carries `changes` out on the list of the older tree's files and compares the outcome with the
// newer tree's. Returns what is wrong, or nothing.
std::string CheckOutcome(int older_root_fd, int newer_root_fd,
                         const std::vector<DiffEntry>& changes);

// One line each, as "M path", "R old -> new"; directories with a slash at the end.
std::vector<std::string> Lines(const std::vector<DiffEntry>& changes);

}  // namespace ckptfs
