#include "tools/ckptfs/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>
#include <syslog.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "backend/base/text.h"
#include "backend/base/warning.h"

namespace ckptfs {
namespace {

constexpr char kName[] = "ckptfs";
constexpr char kJournalSocket[] = "/run/systemd/journal/socket";

// The message as by PlainText: it contains names chosen by users, and the log is read on a terminal.
class PlainMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& out) override {
    const std::string plain = PlainText({message.payload.data(), message.payload.size()});
    out.append(plain.data(), plain.data() + plain.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<PlainMessage>();
  }
};

// "%*" in `pattern` is the message.
std::unique_ptr<spdlog::formatter> Formatter(const char* pattern, const char* end_of_line) {
  auto formatter =
      std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::local, end_of_line);
  formatter->add_flag<PlainMessage>('*').set_pattern(pattern);
  return formatter;
}

std::shared_ptr<spdlog::sinks::sink> SystemSink() {
  if (access(kJournalSocket, W_OK) == 0) {
    return std::make_shared<spdlog::sinks::systemd_sink_mt>(kName, /*enable_formatting=*/true);
  }
  return std::make_shared<spdlog::sinks::syslog_sink_mt>(kName, LOG_PID, LOG_DAEMON, true);
}

void LogWarning(const std::string& line) noexcept {
  try {
    spdlog::warn("{}", line);
  } catch (...) {  // there is nowhere to report it
  }
}

}  // namespace

void StartLog(LogTarget target, bool debug) {
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (target == LogTarget::kStderr) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_formatter(Formatter("ckptfs: %l: %*", "\n"));
  } else {
    sink = SystemSink();
    sink->set_formatter(Formatter("%*", ""));
  }
  auto logger = std::make_shared<spdlog::logger>(kName, std::move(sink));
  logger->set_level(debug ? spdlog::level::debug : spdlog::level::info);
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
  SetWarningSink(LogWarning);
}

}  // namespace ckptfs
