// The adapter's requests about names.
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include <fcntl.h>
#include <linux/fs.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "backend/base/error.h"
#include "fs/fuse/fuse_answer.h"
#include "fs/fuse/fuse_operations.h"

namespace ckptfs {
namespace {

// The kernel asks for these two only when somebody opens a file handle and it has forgotten the node, or
// where that directory lies.
void LookupByHandle(fuse_req_t request, fuse_ino_t node, bool parent) {
  AnswerInWaitingRoom(request, "lookup by handle", [=] {
    SnapshotTree& snapshots = HandlersOf(request).snapshots;
    ReplyEntry(request, parent ? snapshots.FindParent(node) : snapshots.FindAgain(node));
  });
}

void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const std::string_view asked = name;
  if (asked == "." || asked == "..") {
    LookupByHandle(request, parent, asked == "..");
    return;
  }
  Answer(request, "lookup", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    if (handlers.snapshots.IsReserved(parent, name)) {
      ReplyEntry(request, handlers.snapshots.LookupReserved(parent, name));
    } else if (IsVirtual(parent)) {
      ReplyEntry(request, handlers.snapshots.Lookup(parent, name));
    } else {
      ReplyEntry(request, handlers.files.Lookup(parent, name));
    }
  });
}

// Has no answer that could tell of a failure.
void ForgetOne(fuse_req_t request, fuse_ino_t node, uint64_t lookups) noexcept {
  if (IsVirtual(node)) return;
  try {
    PrepareWorkerThread();
    HandlersOf(request).files.Forget(node, lookups);
  } catch (...) {
    ErrnoOfException("forget");
  }
}

void Forget(fuse_req_t request, fuse_ino_t node, uint64_t lookups) noexcept {
  ForgetOne(request, node, lookups);
  fuse_reply_none(request);
}

void ForgetMany(fuse_req_t request, size_t count, fuse_forget_data* forgets) noexcept {
  for (size_t i = 0; i < count; ++i) ForgetOne(request, forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(request);
}

void MakeNode(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  AnswerChange(request, "mknod", [=, name = RequestText(name)] {
    RefuseVirtual(parent, "make a file");
    ReplyEntry(request, HandlersOf(request).files.MakeNode(parent, name.c_str(), mode, device,
                                                           CallerOf(request)));
  });
}

void MakeDirectory(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  if (!IsVirtual(parent)) {
    AnswerChange(request, "mkdir", [=, name = RequestText(name)] {
      ReplyEntry(request, HandlersOf(request).files.MakeDirectory(parent, name.c_str(), mode,
                                                                  CallerOf(request)));
    });
    return;
  }
  AnswerVerb(request, "mkdir", parent, {{parent, name}},
             [request, parent, name = std::string(name), mode] {
               ReplyEntry(request, HandlersOf(request).snapshots.MakeDirectory(
                                       parent, name.c_str(), mode, CallerOf(request)));
             });
}

void MakeSymlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  AnswerChange(request, "symlink", [=, target = RequestText(target), name = RequestText(name)] {
    RefuseVirtual(parent, "make a symlink");
    ReplyEntry(request, HandlersOf(request).files.MakeSymlink(parent, name.c_str(), target.c_str(),
                                                              CallerOf(request)));
  });
}

void MakeLink(fuse_req_t request, fuse_ino_t node, fuse_ino_t new_parent, const char* new_name) {
  AnswerChange(request, "link", [=, new_name = RequestText(new_name)] {
    RefuseVirtual(new_parent, "link a file");
    RefuseVirtual(node, "link a file");
    ReplyEntry(request, HandlersOf(request).files.MakeLink(node, new_parent, new_name.c_str()));
  });
}

void Unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  AnswerChange(request, "unlink", [=, name = RequestText(name)] {
    RefuseVirtual(parent, "remove a file");
    HandlersOf(request).files.Unlink(parent, name.c_str(), CallerOf(request).uid);
    ReplyError(request, 0);
  });
}

void RemoveDirectory(fuse_req_t request, fuse_ino_t parent, const char* name) {
  if (!IsVirtual(parent)) {
    AnswerChange(request, "rmdir", [=, name = RequestText(name)] {
      if (HandlersOf(request).snapshots.IsReserved(parent, name.c_str())) {
        throw Error(EPERM, std::string("remove ") + name.c_str(), "it is a part of its workspace");
      }
      HandlersOf(request).files.RemoveDirectory(parent, name.c_str(), CallerOf(request).uid);
      ReplyError(request, 0);
    });
    return;
  }
  AnswerVerb(request, "rmdir", parent, {{parent, name}},
             [request, parent, name = std::string(name)] {
               HandlersOf(request).snapshots.RemoveDirectory(parent, name.c_str());
               ReplyError(request, 0);
             });
}

void Rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned int flags) {
  FuseHandlers& handlers = HandlersOf(request);
  const SnapshotTree& snapshots = handlers.snapshots;
  const bool concerns_snapshots = snapshots.Owns(parent) || snapshots.Owns(new_parent) ||
                                  snapshots.IsReserved(parent, name) ||
                                  snapshots.IsReserved(new_parent, new_name);
  if (!concerns_snapshots) {
    AnswerChange(request, "rename",
                 [=, name = RequestText(name), new_name = RequestText(new_name)] {
                   HandlersOf(request).files.Rename(parent, name.c_str(), new_parent,
                                                    new_name.c_str(), flags, CallerOf(request));
                   ReplyError(request, 0);
                 });
    return;
  }
  if (!SnapshotTree::IsVerb(parent, new_parent)) {
    AnswerChange(request, "rename",
                 [=, name = RequestText(name), new_name = RequestText(new_name)] {
                   HandlersOf(request).snapshots.Rename(parent, name.c_str(), new_parent,
                                                        new_name.c_str(), flags, AskerOf(request));
                   ReplyError(request, 0);
                 });
    return;
  }
  AnswerVerb(request, "rename", SnapshotTree::ListOf(parent, new_parent),
             {{parent, name}, {new_parent, new_name}},
             [request, parent, name = std::string(name), new_parent,
              new_name = std::string(new_name), flags] {
               HandlersOf(request).snapshots.Rename(parent, name.c_str(), new_parent,
                                                    new_name.c_str(), flags, AskerOf(request));
               ReplyError(request, 0);
             });
}

}  // namespace

void SetNameOperations(fuse_lowlevel_ops& operations) {
  operations.lookup = Callback<Lookup>::Call;
  operations.forget = Forget;
  operations.forget_multi = ForgetMany;
  operations.mknod = Callback<MakeNode>::Call;
  operations.mkdir = Callback<MakeDirectory>::Call;
  operations.unlink = Callback<Unlink>::Call;
  operations.rmdir = Callback<RemoveDirectory>::Call;
  operations.symlink = Callback<MakeSymlink>::Call;
  operations.rename = Callback<Rename>::Call;
  operations.link = Callback<MakeLink>::Call;
}

}  // namespace ckptfs
