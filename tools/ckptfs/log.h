// The destination of the daemon's log.
#pragma once

namespace ckptfs {

enum class LogTarget {
  kStderr,  // foreground
  kSystem,  // daemon: the journal, or syslog without one
};

// Creates spdlog's default logger, and sends warnings (backend/base/warning.h) to it. May be called again.
void StartLog(LogTarget target, bool debug);

}  // namespace ckptfs
