// The daemon's side of fs/control/control_protocol.h.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/operations/asker.h"
#include "fs/operations/verbs.h"

namespace ckptfs {

// Who opened a control file and what the kernel let them do.
struct ControlCaller {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;            // further ones, when it opened the file
  Powers powers = {};                   // likewise
  bool may_change = false;              // the file was opened for reading and writing
  std::optional<int64_t> workspace_id;  // the scope; empty: the whole mount
};

// One descriptor of a control file: takes one request, runs it on a thread of its own, and hands
// out the answer piece by piece. Made at open, dropped at release; the operation keeps what it
// needs alive and goes on when the session is dropped. All functions may be called by any thread.
class ControlSession {
 public:
  virtual ~ControlSession() = default;

  // Throws Error: EFBIG above kMaxRequestBytes, EALREADY once it runs.
  virtual void Append(std::string_view piece) = 0;
  // Starts the request. EALREADY the second time. A bad request is an answer, not an exception.
  virtual void Run() = 0;
  // Calls `done` once, from some thread, with at most `max_bytes` of the answer as soon as there
  // is any; with an empty string at its end, or at once if nothing was run. Pending calls are
  // finished with an empty string when the session is dropped.
  virtual void Read(size_t max_bytes, std::function<void(std::string data)> done) = 0;
  // Finishes pending reads with an empty line, which readers skip: for a reader that has got a
  // signal. Without it a process could not be killed while it waits for a long operation.
  virtual void Interrupt() = 0;
};

// Runs the requests of one mount. `verbs` must outlive it; the destructor waits for what runs.
class ControlServer {
 public:
  static std::unique_ptr<ControlServer> Create(Verbs& verbs);
  virtual ~ControlServer() = default;
  virtual std::shared_ptr<ControlSession> Open(const ControlCaller& caller) = 0;
};

}  // namespace ckptfs
