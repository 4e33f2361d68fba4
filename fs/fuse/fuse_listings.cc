// The adapter's requests for listings.
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)

#include <cerrno>
#include <vector>

#include "backend/base/error.h"
#include "fs/fuse/fuse_answer.h"
#include "fs/fuse/fuse_operations.h"

namespace ckptfs {
namespace {

// Fills one reply to READDIR or READDIRPLUS.
class ListReply {
 public:
  ListReply(fuse_req_t request, size_t size)
      : request_(request), handlers_(HandlersOf(request)), buffer_(size) {}
  // What the kernel was not told it has not looked up.
  ~ListReply() {
    for (const NodeId node : counted_) {
      if (!IsVirtual(node)) handlers_.files.Forget(node, 1);
    }
  }
  ListReply(const ListReply&) = delete;
  ListReply& operator=(const ListReply&) = delete;

  bool Add(const ListedName& listed, bool with_attributes) {
    fuse_entry_param param{};
    if (listed.entry) param = EntryParam(handlers_, *listed.entry);
    if (!listed.entry) {  // "no lookup counted": the kernel looks it up when it needs it
      param.attr.st_ino = listed.number;
      param.attr.st_mode = listed.type;
    }
    char* end = buffer_.data() + used_;
    const size_t room = buffer_.size() - used_;
    const size_t needed =
        with_attributes
            ? fuse_add_direntry_plus(request_, end, room, listed.name, &param, listed.next)
            : fuse_add_direntry(request_, end, room, listed.name, &param.attr, listed.next);
    if (needed > room) return false;
    used_ += needed;
    if (listed.entry) counted_.push_back(listed.entry->node);
    return true;
  }

  void Send() {
    if (ReplyBuffer(request_, buffer_.data(), used_) == 0) counted_.clear();
  }

 private:
  fuse_req_t request_;
  FuseHandlers& handlers_;  // the request is gone after the reply
  std::vector<char> buffer_;
  size_t used_ = 0;
  std::vector<NodeId> counted_;
};

void List(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, bool with_attributes) {
  Answer(request, "readdir", [&] {
    FuseHandlers& handlers = HandlersOf(request);
    ListReply reply(request, size);
    const ListSink sink = [&](const ListedName& listed) {
      return reply.Add(listed, with_attributes);
    };
    if (IsVirtual(node)) {
      handlers.snapshots.List(node, offset, with_attributes, sink);
    } else {
      handlers.files.List(node, offset, size, with_attributes, sink);
    }
    reply.Send();
  });
}

void ReadDirectory(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset,
                   fuse_file_info* /*file*/) {
  List(request, node, size, offset, false);
}

void ReadDirectoryPlus(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset,
                       fuse_file_info* /*file*/) {
  List(request, node, size, offset, true);
}

}  // namespace

void SetListingOperations(fuse_lowlevel_ops& operations) {
  operations.readdir = Callback<ReadDirectory>::Call;
  operations.readdirplus = Callback<ReadDirectoryPlus>::Call;
}

}  // namespace ckptfs
