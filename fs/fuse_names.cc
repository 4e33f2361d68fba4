// The adapter's requests about names.
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include <fcntl.h>
#include <linux/fs.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "backend/base/error.h"
#include "fs/fuse_answer.h"
#include "fs/fuse_operations.h"

namespace ckptfs {
namespace {

constexpr std::chrono::seconds kReadyMax{2};  // of RollbackPreparations

void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
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

void Forget(fuse_req_t request, fuse_ino_t node, uint64_t lookups) {
  if (!IsVirtual(node)) HandlersOf(request).files.Forget(node, lookups);
  fuse_reply_none(request);
}

void ForgetMany(fuse_req_t request, size_t count, fuse_forget_data* forgets) {
  for (size_t i = 0; i < count; ++i) {
    if (!IsVirtual(forgets[i].ino)) {
      HandlersOf(request).files.Forget(forgets[i].ino, forgets[i].nlookup);
    }
  }
  fuse_reply_none(request);
}

void MakeNode(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  AnswerChange(request, "mknod", [=] {
    RefuseVirtual(parent, "make a file");
    ReplyEntry(request,
               HandlersOf(request).files.MakeNode(parent, name, mode, device, CallerOf(request)));
  });
}

void MakeDirectory(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  if (!IsVirtual(parent)) {
    AnswerChange(request, "mkdir", [=] {
      ReplyEntry(request,
                 HandlersOf(request).files.MakeDirectory(parent, name, mode, CallerOf(request)));
    });
    return;
  }
  AnswerLater(request, "mkdir", [request, parent, name = std::string(name), mode] {
    ReplyEntry(request, HandlersOf(request).snapshots.MakeDirectory(parent, name.c_str(), mode,
                                                                    CallerOf(request)));
  });
}

void MakeSymlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  AnswerChange(request, "symlink", [=] {
    RefuseVirtual(parent, "make a symlink");
    ReplyEntry(request,
               HandlersOf(request).files.MakeSymlink(parent, name, target, CallerOf(request)));
  });
}

void MakeLink(fuse_req_t request, fuse_ino_t node, fuse_ino_t new_parent, const char* new_name) {
  AnswerChange(request, "link", [=] {
    RefuseVirtual(new_parent, "link a file");
    RefuseVirtual(node, "link a file");
    ReplyEntry(request, HandlersOf(request).files.MakeLink(node, new_parent, new_name));
  });
}

void Unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  AnswerChange(request, "unlink", [=] {
    RefuseVirtual(parent, "remove a file");
    HandlersOf(request).files.Unlink(parent, name);
    ReplyError(request, 0);
  });
}

void RemoveDirectory(fuse_req_t request, fuse_ino_t parent, const char* name) {
  if (!IsVirtual(parent)) {
    AnswerChange(request, "rmdir", [=] {
      if (HandlersOf(request).snapshots.IsReserved(parent, name)) {
        throw Error(EPERM, std::string("remove ") + name, "it is a part of its workspace");
      }
      HandlersOf(request).files.RemoveDirectory(parent, name);
      ReplyError(request, 0);
    });
    return;
  }
  AnswerLater(request, "rmdir", [request, parent, name = std::string(name)] {
    HandlersOf(request).snapshots.RemoveDirectory(parent, name.c_str());
    ReplyError(request, 0);
  });
}

struct RenameRequest {
  fuse_req_t request = nullptr;
  fuse_ino_t parent = 0;
  std::string name;
  fuse_ino_t new_parent = 0;
  std::string new_name;
  unsigned int flags = 0;
};

void RenameLater(const RenameRequest& asked, std::unique_ptr<ForgottenNames> forgotten) {
  // Shared, as tasks are copied.
  const auto names = std::make_shared<std::unique_ptr<ForgottenNames>>(std::move(forgotten));
  AnswerLater(asked.request, "rename", [asked, names] {
    HandlersOf(asked.request)
        .snapshots.Rename(asked.parent, asked.name.c_str(), asked.new_parent,
                          asked.new_name.c_str(), asked.flags, std::move(*names));
    ReplyError(asked.request, 0);
  });
}

// The second request for a rollback. Hardly ever before all is ready.
void RenamePrepared(const RenameRequest& asked,
                    const std::shared_ptr<RollbackPreparations::Preparation>& preparation) {
  AnswerInWaitingRoom(asked.request, "rename", [asked, preparation] {
    preparation->Await(kReadyMax);
    RenameLater(asked, preparation->TakeNames());
  });
}

// The first one. What comes after the answer is done by the thread all the same.
void PrepareRollback(const RenameRequest& asked, const SnapshotTree::Replacement& replacement) {
  AnswerInWaitingRoom(asked.request, "rename", [request = asked.request, replacement] {
    FuseHandlers& handlers = HandlersOf(request);
    handlers.verbs.RefuseMounts(replacement.workspace_id, replacement.by_name);
    const auto preparation =
        handlers.preparations.Begin(fuse_req_ctx(request)->pid, replacement.workspace_id,
                                    replacement.list, replacement.by_name ? 1 : 2);
    ReplyError(request, ESTALE);
    handlers.preparations.Run(*preparation,
                              [&] { return handlers.verbs.ForgetNames(replacement.workspace_id); });
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
    AnswerChange(request, "rename", [=] {
      HandlersOf(request).files.Rename(parent, name, new_parent, new_name, flags,
                                       CallerOf(request));
      ReplyError(request, 0);
    });
    return;
  }
  if (!SnapshotTree::IsVerb(parent, new_parent)) {
    AnswerChange(request, "rename", [=] {
      HandlersOf(request).snapshots.Rename(parent, name, new_parent, new_name, flags, nullptr);
      ReplyError(request, 0);
    });
    return;
  }
  const RenameRequest asked{.request = request,
                            .parent = parent,
                            .name = name,
                            .new_parent = new_parent,
                            .new_name = new_name,
                            .flags = flags};
  const auto replacement = snapshots.Replaces(parent, name, new_parent, new_name);
  if (!replacement) {
    RenameLater(asked, nullptr);
    return;
  }
  const pid_t thread = fuse_req_ctx(request)->pid;
  if (auto preparation = handlers.preparations.Take(thread, replacement->workspace_id)) {
    RenamePrepared(asked, preparation);
  } else {
    PrepareRollback(asked, *replacement);
  }
}

}  // namespace

void SetNameOperations(fuse_lowlevel_ops& operations) {
  operations.lookup = Lookup;
  operations.forget = Forget;
  operations.forget_multi = ForgetMany;
  operations.mknod = MakeNode;
  operations.mkdir = MakeDirectory;
  operations.unlink = Unlink;
  operations.rmdir = RemoveDirectory;
  operations.symlink = MakeSymlink;
  operations.rename = Rename;
  operations.link = MakeLink;
}

}  // namespace ckptfs
