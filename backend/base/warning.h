// Warnings that fit neither into a reply nor into an exception.
#pragma once

#include <string>

namespace ckptfs {

// Takes one line of text. Must not throw.
using WarningSink = void (*)(const std::string& line) noexcept;

// Sets the destination of warnings, e.g. a log. The default is standard error, so that this part of the
// program needs no logging library. Call it at program start, before there are threads.
void SetWarningSink(WarningSink sink) noexcept;

// Thread-safe.
void Warn(const std::string& line) noexcept;

}  // namespace ckptfs
