// Where the daemon's log goes.
#pragma once

namespace ckptfs {

enum class LogTarget {
  kStderr,  // foreground
  kSystem,  // daemon: the journal, or syslog where there is no journal
};

// Makes spdlog's default logger, and has warnings go there (backend/base/warning.h). May be called again.
void StartLog(LogTarget target, bool debug);

}  // namespace ckptfs
