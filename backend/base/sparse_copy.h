// Copies of large files that are mostly holes.
#pragma once

namespace ckptfs {

// Makes the empty file `target_fd` equal to `source_fd`, holes and size included: by reference where the
// filesystem can (FICLONE), by copying what is not a hole elsewhere, in time proportional to that. Not
// durable yet. Nobody may write to the source meanwhile. Throws Error.
void CopySparse(int source_fd, int target_fd);

}  // namespace ckptfs
