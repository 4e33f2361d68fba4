// Telling somebody of what neither an answer nor an exception can carry.
#pragma once

#include <string>

namespace ckptfs {

// Takes one line of text. Must not throw.
using WarningSink = void (*)(const std::string& line) noexcept;

// Where warnings go from now on: a log, say. Until then they go to standard error, so that this part of the
// program needs no logging library. For the start of a program, before it has threads.
void SetWarningSink(WarningSink sink) noexcept;

// Any thread may call it.
void Warn(const std::string& line) noexcept;

}  // namespace ckptfs
