#include "tools/ckpt/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "tools/ckpt/output.h"

namespace ckptfs::cli {
namespace {

constexpr size_t kMaxBarColumns = 40;

}  // namespace

ProgressBar::ProgressBar() : is_terminal_(isatty(STDERR_FILENO) == 1) {}

std::string ProgressBar::Line(uint64_t done_bytes, uint64_t total_bytes, uint64_t done_files,
                              uint64_t total_files, size_t columns) {
  // Counts files as well as bytes: many small files take more time than their bytes suggest.
  const double bytes =
      total_bytes == 0 ? 1.0 : static_cast<double>(done_bytes) / static_cast<double>(total_bytes);
  const double files =
      total_files == 0 ? 1.0 : static_cast<double>(done_files) / static_cast<double>(total_files);
  const double part = std::clamp((bytes + files) / 2, 0.0, 1.0);
  const std::string text =
      fmt::format(" {:3.0f}%  {} of {}, {} of {} files", part * 100, FormatBytes(done_bytes),
                  FormatBytes(total_bytes), done_files, total_files);
  // One column stays free: a full line makes some terminals wrap.
  const size_t room = columns > text.size() + 4 ? columns - text.size() - 3 : 0;
  const size_t width = std::min(room, kMaxBarColumns);
  if (width < 4) return text.substr(0, columns > 0 ? columns - 1 : 0);
  const auto full = static_cast<size_t>(part * static_cast<double>(width));
  return "[" + std::string(full, '#') + std::string(width - full, '.') + "]" + text;
}

void ProgressBar::Show(uint64_t done_bytes, uint64_t total_bytes, uint64_t done_files,
                       uint64_t total_files) {
  if (!is_terminal_) return;
  const std::string line = Line(done_bytes, total_bytes, done_files, total_files,
                                TerminalColumns(STDERR_FILENO).value_or(0));
  std::fputs(("\r\033[K" + line).c_str(), stderr);
  std::fflush(stderr);
  is_shown_ = true;
}

void ProgressBar::Show(const nlohmann::json& progress) {
  const auto number = [&](const char* name) { return progress.value(name, uint64_t{0}); };
  Show(number("done_bytes"), number("total_bytes"), number("done_files"), number("total_files"));
}

void ProgressBar::Clear() {
  if (!is_shown_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  is_shown_ = false;
}

}  // namespace ckptfs::cli
