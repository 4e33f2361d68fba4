#include "backend/base/warning.h"

#include <atomic>
#include <cstdio>

namespace ckptfs {
namespace {

void WriteToStandardError(const std::string& line) noexcept {
  std::fprintf(stderr, "%s\n", line.c_str());
}

std::atomic<WarningSink> g_sink = WriteToStandardError;

}  // namespace

void SetWarningSink(WarningSink sink) noexcept { g_sink = sink; }

void Warn(const std::string& line) noexcept { g_sink.load()(line); }

}  // namespace ckptfs
