// The expected result of a comparison of volumes, found by reading both completely.
#pragma once

#include <string>
#include <vector>

#include "backend/interface/backend.h"

namespace ckptfs {

// The changes from one tree to the other, by the rules in backend/compare/comparison.h, computed in memory
// without any code of backend/.
std::vector<DiffEntry> ExpectedChanges(int older_root_fd, int newer_root_fd);

// Applies `changes` to the list of the older tree's files and compares the outcome with the newer tree's.
// Returns what is wrong, or nothing.
std::string CheckOutcome(int older_root_fd, int newer_root_fd,
                         const std::vector<DiffEntry>& changes);

// One line each, as "M path", "R old -> new"; directories end with a slash.
std::vector<std::string> Lines(const std::vector<DiffEntry>& changes);

}  // namespace ckptfs
