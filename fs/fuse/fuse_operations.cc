// The kernel's requests: which handler serves each, and how it is run.
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include "fs/fuse/fuse_operations.h"

#include <fuse_lowlevel.h>

#include <fstream>
#include <string>

#include "fs/fuse/fuse_handlers.h"
#include "fs/fuse/fuse_negotiation.h"
#include "fs/fuse/operation.h"
#include "fs/fuse/request_conditions.h"

namespace ckptfs {
namespace {

void Initialise(void* user_data, fuse_conn_info* connection) noexcept {
  Attempt("init", [&] { Negotiate(*static_cast<FuseHandlers*>(user_data), connection); });
}

// The table: one entry for each operation, or none if the kernel must do without it (OPENDIR, FLUSH, ...).
// The first row of an entry whose condition holds serves the request: by RunClass, with the handler, which
// gets the arguments and the constants after it. Verbs say what they change.
// clang-format off
namespace table_words {
using namespace fuse_conditions;  // NOLINT(google-build-using-namespace): the table's own words
using namespace fuse_handlers;    // NOLINT(google-build-using-namespace): likewise
using enum RunClass;

void SetNames(fuse_lowlevel_ops& table) {
  table.lookup = Operation<"lookup",
      When<NameIsDot, kMayWait, LookupItself>,
      When<NameIsDotDot, kMayWait, LookupParent>,
      Otherwise<kAtOnce, Lookup>>();
  table.forget = Operation<"forget", Otherwise<kUnanswered, Forget>>();
  table.forget_multi = Operation<"forget", Otherwise<kUnanswered, ForgetMany>>();
  table.mknod = Operation<"mknod", Otherwise<kChange, MakeNode>>();
  table.mkdir = Operation<"mkdir",
      WhenVerb<ParentIsVirtual, ChangesName, MakeListed>,
      Otherwise<kChange, MakeDirectory>>();
  table.symlink = Operation<"symlink", Otherwise<kChange, MakeSymlink>>();
  table.link = Operation<"link", Otherwise<kChange, MakeLink>>();
  table.unlink = Operation<"unlink", Otherwise<kChange, Unlink>>();
  table.rmdir = Operation<"rmdir",
      WhenVerb<ParentIsVirtual, ChangesName, RemoveListed>,
      Otherwise<kChange, RemoveDirectory>>();
  table.rename = Operation<"rename",
      WhenVerb<RenameIsVerb, ChangesTwoNames, RenameListed>,
      When<RenameIsListed, kChange, RenameListed>,
      Otherwise<kChange, Rename>>();
}

void SetAttributesAndXattrs(fuse_lowlevel_ops& table) {
  table.getattr = Operation<"getattr",
      When<NamesAreSettling, kMayWait, GetSettledAttributes>,
      Otherwise<kAtOnce, GetAttributes>>();
  table.statx = Operation<"statx",
      When<NamesAreSettling, kMayWait, GetSettledStatx>,
      Otherwise<kAtOnce, GetStatx>>();
  table.setattr = Operation<"setattr",
      WhenVerb<NodeIsMountRoot, ChangesNode, SetMountRootAttributes>,
      When<PagesAreHeld, kMayWait, SetAttributes, Pages::kHeld>,
      Otherwise<kChange, SetAttributes, Pages::kNone>>();
  table.readlink = Operation<"readlink", Otherwise<kAtOnce, ReadLink>>();
  table.statfs = Operation<"statfs", Otherwise<kAtOnce, GetStatfs>>();
  table.getxattr = Operation<"getxattr",
      When<ValueIsComputed, kMayWait, GetXattr>,
      Otherwise<kAtOnce, GetXattr>>();
  table.listxattr = Operation<"listxattr", Otherwise<kAtOnce, ListXattrs>>();
  table.setxattr = Operation<"setxattr",
      When<CallStopsWrites, kAtOnce, StopWrites>,
      WhenVerb<NodeIsListed, ChangesXattr, SetListedXattr>,
      When<CapabilitiesMeetHeldPages, kMayWait, SetXattr, Pages::kHeld>,
      Otherwise<kChange, SetXattr, Pages::kNone>>();
  table.removexattr = Operation<"removexattr", Otherwise<kChange, RemoveXattr>>();
}

void SetListings(fuse_lowlevel_ops& table) {
  table.readdir = Operation<"readdir", Otherwise<kAtOnce, List, Listed::kNames>>();
  table.readdirplus = Operation<"readdir", Otherwise<kAtOnce, List, Listed::kNamesAndAttributes>>();
}

// And for ckpt's control files.
void SetFilesAndData(fuse_lowlevel_ops& table) {
  table.open = Operation<"open",
      When<NodeIsControl, kChange, OpenControl>,
      Otherwise<kChange, Open>>();
  table.create = Operation<"create", Otherwise<kChange, Create>>();
  table.tmpfile = Operation<"tmpfile", Otherwise<kChange, CreateUnnamed>>();
  table.release = Operation<"release",
      When<NodeIsControl, kAtOnce, ReleaseControl>,
      Otherwise<kAtOnce, Release>>();
  table.read = Operation<"read",
      When<NodeIsControl, kAtOnce, ReadControl>,
      Otherwise<kAtOnce, Read>>();
  table.write_buf = Operation<"write",
      When<NodeIsControl, kAtOnce, RefuseControlWrite>,
      When<WriteLeavesGap, kMayWait, Write, Gap::kLeft>,
      When<WriteMayWait, kMayWait, Write, Gap::kNone>,
      Otherwise<kChange, Write, Gap::kNone>>();
  table.fsync = Operation<"fsync", Otherwise<kMayTakeLong, Sync>>();
  table.fsyncdir = Operation<"fsync", Otherwise<kMayTakeLong, Sync>>();
  table.fallocate = Operation<"fallocate",
      When<PagesAreHeld, kMayWait, Allocate, Pages::kHeld>,
      Otherwise<kChange, Allocate, Pages::kNone>>();
  table.copy_file_range = Operation<"copy_file_range",
      When<TargetsPagesAreHeld, kMayWait, CopyRange, Pages::kHeld>,
      Otherwise<kChange, CopyRange, Pages::kNone>>();
  table.lseek = Operation<"lseek",
      When<PagesAreHeld, kMayWait, Seek, Pages::kHeld>,
      Otherwise<kChange, Seek, Pages::kNone>>();
  table.ioctl = Operation<"ioctl",
      When<NodeIsControl, kChange, ControlIoctl>,
      Otherwise<kChange, Ioctl>>();
}

}  // namespace table_words
// clang-format on

fuse_lowlevel_ops MakeOperations() {
  fuse_lowlevel_ops table{};
  table.init = Initialise;
  table_words::SetNames(table);
  table_words::SetAttributesAndXattrs(table);
  table_words::SetListings(table);
  table_words::SetFilesAndData(table);
  return table;
}

}  // namespace

bool KernelHasSelinux() {
  std::ifstream filesystems("/proc/filesystems");
  std::string word;
  while (filesystems >> word) {
    if (word == "selinuxfs") return true;
  }
  return false;
}

const fuse_lowlevel_ops& FuseOperations() {
  static const fuse_lowlevel_ops operations = MakeOperations();
  return operations;
}

}  // namespace ckptfs
