// The client's side of the control protocol.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "backend/base/unique_fd.h"

namespace ckptfs::cli {

using Json = nlohmann::json;

enum class Access { kRead, kChange };

// Handlers for the parts of an answer that come before its result. Either may be empty.
struct AnswerHandlers {
  std::function<void(const Json& items)> items;
  std::function<void(const Json& progress)> progress;
};

// A request in the format of fs/control/control_wire.h.
Json MakeRequest(const char* command, Json args = Json::object());

// What the daemon has said about the store's health beside its last answer, in one line; empty: nothing. Used by
// the main thread.
std::string& HealthHeard();

// Adds to a request's arguments what identifies an open file to the daemon: fd, device and inode.
void AddOpenFile(Json& args, int fd);

// Opens the control file of the directory `directory_fd` (may be O_PATH), sends the request and returns the
// result. `what` names the directory in errors ("workspace proj"). Throws Error: the daemon's own, or EACCES
// if the caller may not read or change this, ENOENT if there is no control file, ENOTCONN if the daemon is
// gone.
Json Ask(int directory_fd, const std::string& what, Access access, const Json& request,
         const AnswerHandlers& handlers = {});

}  // namespace ckptfs::cli
