// Negotiates features with the kernel when a mount begins.
#pragma once

struct fuse_conn_info;

namespace ckptfs {

struct FuseHandlers;

// Requests features from the kernel, and tells the mount which ones are missing.
void Negotiate(FuseHandlers& handlers, fuse_conn_info* connection);

}  // namespace ckptfs
