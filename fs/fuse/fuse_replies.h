// What handlers return, and how it is sent to the kernel.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)
#endif

#include <fuse_lowlevel.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "fs/control/control.h"
#include "fs/files/file_tree.h"
#include "fs/fuse/fuse_operations.h"
#include "fs/nodes/attributes.h"

namespace ckptfs {

// The workspace that the directory leads into, if walks must wait there; else null.
std::shared_ptr<LiveWorkspace> StoppedAt(const FuseHandlers& handlers, NodeId node);
// Whether the kernel may cache that node's attributes (StaleNames, SettlingNames).
bool KeepsAttributes(const FuseHandlers& handlers, NodeId node);
fuse_entry_param EntryParam(const FuseHandlers& handlers, const Entry& entry);

struct Done {};
// The reply is sent, or has been sent, elsewhere.
struct AnsweredElsewhere {};
// The kernel takes no reply to this request.
struct NoReply {};
// An expected failure: neither logged nor retried.
struct Failed {
  int error_number = 0;
};

struct AttributesOf {
  NodeId node = 0;
  Attributes attributes;
};
struct StatxOf {
  NodeId node = 0;
  struct statx status {};
  double timeout_s = 0;
};
struct LinkTarget {
  std::string path;
};
// The value of an attribute, or the list of their names; only its size if the caller's buffer size is 0.
struct XattrValue {
  std::string value;
  size_t room = 0;
};

struct OpenedFile {
  NodeId node = 0;
  OpenReply open;
  fuse_file_info info{};
};
struct CreatedAndOpened {
  CreatedFile created;
  fuse_file_info info{};
};
using SessionHandle = std::shared_ptr<ControlSession>;
struct OpenedControl {
  std::unique_ptr<SessionHandle> session;
  fuse_file_info info{};
};

struct Bytes {
  std::unique_ptr<char[]> data;
  size_t size = 0;
};
struct Written {
  size_t size = 0;
};
struct FoundOffset {
  off_t offset = 0;
};
struct IoctlOutput {
  alignas(fsxattr) std::array<char, sizeof(fsxattr)> data{};
  size_t size = 0;
};

// One reply to READDIR or READDIRPLUS.
class ListReply {
 public:
  ListReply(fuse_req_t request, size_t size);
  // Takes back the lookups of entries that were not sent to the kernel.
  ~ListReply();
  ListReply(ListReply&&) noexcept = default;
  ListReply(const ListReply&) = delete;
  ListReply& operator=(const ListReply&) = delete;
  ListReply& operator=(ListReply&&) = delete;

  // False if the entry does not fit.
  bool Add(const ListedName& listed, bool with_attributes);
  void Send();

 private:
  fuse_req_t request_;
  FuseHandlers& handlers_;  // the request is gone after the reply
  std::vector<char> buffer_;
  size_t used_ = 0;
  std::vector<NodeId> counted_;
};

// Each sends that reply. If the kernel does not take it because the requester is gone, its effects are
// undone: lookups that the kernel would have counted and files that it would have released.
void Send(fuse_req_t request, const Done& reply);
inline void Send(fuse_req_t /*request*/, const AnsweredElsewhere& /*reply*/) {}
inline void Send(fuse_req_t /*request*/, const NoReply& /*reply*/) {}
void Send(fuse_req_t request, const Failed& reply);
void Send(fuse_req_t request, const Entry& reply);
void Send(fuse_req_t request, const AttributesOf& reply);
void Send(fuse_req_t request, const StatxOf& reply);
void Send(fuse_req_t request, const LinkTarget& reply);
void Send(fuse_req_t request, const XattrValue& reply);
void Send(fuse_req_t request, const struct statvfs& reply);
void Send(fuse_req_t request, OpenedFile&& reply);
void Send(fuse_req_t request, CreatedAndOpened&& reply);
void Send(fuse_req_t request, OpenedControl&& reply);
void Send(fuse_req_t request, const Bytes& reply);
void Send(fuse_req_t request, const Written& reply);
void Send(fuse_req_t request, const FoundOffset& reply);
void Send(fuse_req_t request, const IoctlOutput& reply);
inline void Send(fuse_req_t /*request*/, ListReply&& reply) { reply.Send(); }
template <typename... Replies>
void Send(fuse_req_t request, const std::variant<Replies...>& reply) {
  std::visit([request](const auto& one) { Send(request, one); }, reply);
}

}  // namespace ckptfs
