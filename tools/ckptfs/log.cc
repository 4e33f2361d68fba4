#include "tools/ckptfs/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>
#include <syslog.h>
#include <unistd.h>

#include <memory>

namespace ckptfs {
namespace {

constexpr char kName[] = "ckptfs";
constexpr char kJournalSocket[] = "/run/systemd/journal/socket";

std::shared_ptr<spdlog::sinks::sink> SystemSink() {
  if (access(kJournalSocket, W_OK) == 0) {
    return std::make_shared<spdlog::sinks::systemd_sink_mt>(kName);
  }
  return std::make_shared<spdlog::sinks::syslog_sink_mt>(kName, LOG_PID, LOG_DAEMON, true);
}

}  // namespace

void StartLog(LogTarget target, bool debug) {
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (target == LogTarget::kStderr) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_pattern("ckptfs: %l: %v");
  } else {
    sink = SystemSink();
    sink->set_pattern("%v");
  }
  auto logger = std::make_shared<spdlog::logger>(kName, std::move(sink));
  logger->set_level(debug ? spdlog::level::debug : spdlog::level::info);
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace ckptfs
