// Copies of large sparse files.
#pragma once

namespace ckptfs {

// Makes the empty file `target_fd` equal to `source_fd`, including holes and size. Uses a reflink if the
// filesystem can (FICLONE), else copies the data, in time proportional to its size. Not durable yet. Nobody
// may write to the source meanwhile. Throws Error.
void CopySparse(int source_fd, int target_fd);

}  // namespace ckptfs
