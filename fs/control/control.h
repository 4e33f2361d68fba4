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

// The process that opened a control file, and its permissions according to the kernel.
struct ControlCaller {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;            // supplementary, when it opened the file
  Powers powers = {};                   // likewise
  bool may_change = false;              // the file was opened for reading and writing
  std::optional<int64_t> workspace_id;  // the scope; empty: the whole mount
};

// One descriptor of a control file: takes one request, runs it on its own thread, and returns the answer
// piece by piece. Made at open, dropped at release; the operation keeps what it needs alive and goes on when
// the session is dropped. All functions are thread-safe.
class ControlSession {
 public:
  virtual ~ControlSession() = default;

  // Throws Error: EFBIG above kMaxRequestBytes, EALREADY once the request runs.
  virtual void Append(std::string_view piece) = 0;
  // Starts the request. EALREADY the second time. A bad request is reported in the answer, not by an
  // exception.
  virtual void Run() = 0;
  // Calls `done` once, from some thread, with at most `max_bytes` of the answer as soon as some is available;
  // with an empty string at its end, or at once if nothing was run. Dropping the session finishes pending
  // calls with an empty string.
  virtual void Read(size_t max_bytes, std::function<void(std::string data)> done) = 0;
  // Finishes pending reads with an empty line, which readers skip. For a reader with a pending signal:
  // otherwise a process could not be killed while it waits for a long operation.
  virtual void Interrupt() = 0;
};

// Runs the requests of one mount. `verbs` must outlive it; the destructor waits for running requests.
class ControlServer {
 public:
  static std::unique_ptr<ControlServer> Create(Verbs& verbs);
  virtual ~ControlServer() = default;
  virtual std::shared_ptr<ControlSession> Open(const ControlCaller& caller) = 0;
};

}  // namespace ckptfs
