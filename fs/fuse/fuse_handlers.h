// The handlers of the kernel's requests. Each calls the class that does the work and returns the reply
// (fuse_replies.h). Only fuse_operations.cc names them, with the class by which each runs. Each may throw
// Error.
#pragma once

#include <memory>
#include <span>
#include <variant>

#include "fs/fuse/fuse_replies.h"
#include "fs/fuse/fuse_request.h"
#include "fs/fuse/kept_arguments.h"
#include "fs/nodes/node_id.h"

namespace ckptfs::fuse_handlers {

// Whether the kernel may hold pages with stores from a mapping. They are written back or changed first, which
// waits for other requests.
enum class Pages : bool { kNone, kHeld };
// Walks into that directory wait (SettlingNames) or fail with ESTALE (StaleNames).
struct WaitForNames {
  std::shared_ptr<LiveWorkspace>
      stopped;  // the workspace whose walks were stopped when the request came; null: none
  bool is_needed = false;
  explicit operator bool() const noexcept { return is_needed; }
};
// Whether a write may leave a gap after the end of the file (FileTree::LeavesGap).
enum class Gap : bool { kNone, kLeft };
enum class Listed : bool { kNames, kNamesAndAttributes };

// --- Names (fuse_names.cc) -----------------------------------------------------------------------
Entry Lookup(fuse_req_t request, NodeId parent, const ArgumentText& name);
// The kernel sends these two only when a file handle is opened and the kernel has forgotten the node or the
// directory's parent.
Entry LookupItself(fuse_req_t request, NodeId node, const ArgumentText& name);
Entry LookupParent(fuse_req_t request, NodeId node, const ArgumentText& name);
NoReply Forget(fuse_req_t request, NodeId node, uint64_t lookups);
NoReply ForgetMany(fuse_req_t request, std::span<const fuse_forget_data> forgets);
Entry MakeNode(fuse_req_t request, NodeId parent, const ArgumentText& name, mode_t mode,
               dev_t device);
Entry MakeDirectory(fuse_req_t request, NodeId parent, const ArgumentText& name, mode_t mode);
// Creates a workspace or a checkpoint.
Entry MakeListed(fuse_req_t request, NodeId parent, const ArgumentText& name, mode_t mode);
Entry MakeSymlink(fuse_req_t request, const ArgumentText& target, NodeId parent,
                  const ArgumentText& name);
Entry MakeLink(fuse_req_t request, NodeId node, NodeId new_parent, const ArgumentText& new_name);
Done Unlink(fuse_req_t request, NodeId parent, const ArgumentText& name);
Done RemoveDirectory(fuse_req_t request, NodeId parent, const ArgumentText& name);
Done RemoveListed(fuse_req_t request, NodeId parent, const ArgumentText& name);
Done Rename(fuse_req_t request, NodeId parent, const ArgumentText& name, NodeId new_parent,
            const ArgumentText& new_name, unsigned int flags);
// Renames involving a list of snapshots, or a snapshot.
Done RenameListed(fuse_req_t request, NodeId parent, const ArgumentText& name, NodeId new_parent,
                  const ArgumentText& new_name, unsigned int flags);

// --- Attributes (fuse_attributes.cc, fuse_xattrs.cc) ---------------------------------------------
AttributesOf GetAttributes(fuse_req_t request, NodeId node, const AskedFile& file);
StatxOf GetStatx(fuse_req_t request, NodeId node, int flags, int mask, const AskedFile& file);
// The same once the directory's names are settled; or ESTALE, on which the kernel walks the path again.
std::variant<AttributesOf, Failed> GetSettledAttributes(fuse_req_t request, NodeId node,
                                                        const AskedFile& file,
                                                        const WaitForNames& wait);
std::variant<StatxOf, Failed> GetSettledStatx(fuse_req_t request, NodeId node, int flags, int mask,
                                              const AskedFile& file, const WaitForNames& wait);
AttributesOf SetAttributes(fuse_req_t request, NodeId node, const struct stat& attributes,
                           int valid, const AskedFile& file, Pages pages);
// This changes the store.
AttributesOf SetMountRootAttributes(fuse_req_t request, NodeId node, const struct stat& attributes,
                                    int valid, const AskedFile& file);
LinkTarget ReadLink(fuse_req_t request, NodeId node);
std::variant<XattrValue, Failed> GetXattr(fuse_req_t request, NodeId node, const ArgumentText& name,
                                          size_t room);
XattrValue ListXattrs(fuse_req_t request, NodeId node, size_t room);
Done SetXattr(fuse_req_t request, NodeId node, const ArgumentText& name, const ArgumentBytes& value,
              int flags, Pages pages);
Done SetListedXattr(fuse_req_t request, NodeId node, const ArgumentText& name,
                    const ArgumentBytes& value, int flags);
// The call of the mount's helper that blocks writes to a file for a checkpoint (WriteBarrier).
AnsweredElsewhere StopWrites(fuse_req_t request, NodeId node, const ArgumentText& name,
                             const ArgumentBytes& value, int flags);
Done RemoveXattr(fuse_req_t request, NodeId node, const ArgumentText& name);
struct statvfs GetStatfs(fuse_req_t request, NodeId node);

// --- Listings (fuse_listings.cc) -----------------------------------------------------------------
ListReply List(fuse_req_t request, NodeId node, size_t size, off_t offset, const AskedFile& file,
               Listed listed);

// --- Open files and their data (fuse_data.cc) ----------------------------------------------------
OpenedFile Open(fuse_req_t request, NodeId node, const AskedFile& file);
CreatedAndOpened Create(fuse_req_t request, NodeId parent, const ArgumentText& name, mode_t mode,
                        const AskedFile& file);
CreatedAndOpened CreateUnnamed(fuse_req_t request, NodeId parent, mode_t mode,
                               const AskedFile& file);
Done Release(fuse_req_t request, NodeId node, const AskedFile& file);
Bytes Read(fuse_req_t request, NodeId node, size_t size, off_t offset, const AskedFile& file);
Written Write(fuse_req_t request, NodeId node, const ArgumentData& data, off_t offset,
              const AskedFile& file, Gap gap);
Done Sync(fuse_req_t request, NodeId node, int data_only, const AskedFile& file);
Done Allocate(fuse_req_t request, NodeId node, int mode, off_t offset, off_t length,
              const AskedFile& file, Pages pages);
Written CopyRange(fuse_req_t request, NodeId from, off_t from_offset, const AskedFile& in,
                  NodeId to, off_t to_offset, const AskedFile& out, size_t length, int flags,
                  Pages pages);
FoundOffset Seek(fuse_req_t request, NodeId node, off_t offset, int whence, const AskedFile& file,
                 Pages pages);
IoctlOutput Ioctl(fuse_req_t request, NodeId node, unsigned int command, const AskedFile& file,
                  unsigned int flags, const ArgumentBytes& input, size_t output_size);

// --- `ckpt`'s control files (fuse_control.cc) ----------------------------------------------------
OpenedControl OpenControl(fuse_req_t request, NodeId node, const AskedFile& file);
Done ReleaseControl(fuse_req_t request, NodeId node, const AskedFile& file);
AnsweredElsewhere ReadControl(fuse_req_t request, NodeId node, size_t size, off_t offset,
                              const AskedFile& file);
Done RefuseControlWrite(fuse_req_t request, NodeId node, const ArgumentData& data, off_t offset,
                        const AskedFile& file);
IoctlOutput ControlIoctl(fuse_req_t request, NodeId node, unsigned int command,
                         const AskedFile& file, unsigned int flags, const ArgumentBytes& input,
                         size_t output_size);

// Throws EPERM in a directory outside volumes: only directories can be created there.
void RefuseVirtual(NodeId parent, const char* what);

}  // namespace ckptfs::fuse_handlers
