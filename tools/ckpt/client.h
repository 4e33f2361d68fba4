// The command line's side of the control protocol.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "backend/base/unique_fd.h"

namespace ckptfs::cli {

using Json = nlohmann::json;

enum class Access { kRead, kChange };

// What is done with the parts of an answer that come before its result. Either may be empty.
struct AnswerHandlers {
  std::function<void(const Json& items)> items;
  std::function<void(const Json& progress)> progress;
};

// A request as fs/control/control_wire.h has it.
Json MakeRequest(const char* command, Json args = Json::object());

// Adds to a request's arguments what tells the daemon of an open file: fd, device and inode.
void AddOpenFile(Json& args, int fd);

// Opens the control file of the directory `directory_fd` (O_PATH will do), sends the request and
// returns the result. `what` names the directory in errors ("workspace proj"). Throws Error: the
// daemon's own, or EACCES where the caller has no right to read or change this, ENOENT where there
// is no control file, ENOTCONN where the daemon is gone.
Json Ask(int directory_fd, const std::string& what, Access access, const Json& request,
         const AnswerHandlers& handlers = {});

}  // namespace ckptfs::cli
