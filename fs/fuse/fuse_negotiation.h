// What the daemon and the kernel agree on when a mount begins.
#pragma once

struct fuse_conn_info;

namespace ckptfs {

struct FuseHandlers;

// Asks the kernel for what it can do, and tells the mount what it cannot.
void Negotiate(FuseHandlers& handlers, fuse_conn_info* connection);

}  // namespace ckptfs
