#include "tools/ckpt/changes.h"

#include <fmt/format.h>

#include "fs/control/control_wire.h"
#include "tools/ckpt/output.h"

namespace ckptfs::cli {

std::string ChangeLine(const Json& item) {
  const auto name = [&item](const char* field) {
    return QuoteName(wire::ToBytes(item.at(field), "read the daemon's answer"));
  };
  const std::string kind = item.at("kind").get<std::string>();
  if (kind == wire::kKindRenamed) return "R " + name("old_path") + " -> " + name("path");
  if (kind == wire::kKindAdded) return "+ " + name("path");
  if (kind == wire::kKindRemoved) return "- " + name("path");
  return "M " + name("path");
}

void ChangePrinter::Add(const Json& items) {
  for (const Json& item : items) {
    if (json_) {
      Print(count_ == 0 ? "[\n  " : ",\n  ");
      Print(item.dump(-1, ' ', false, Json::error_handler_t::replace));
    } else {
      PrintLine(ChangeLine(item));
    }
    ++count_;
  }
}

void ChangePrinter::Finish(const Json& result) const {
  if (json_) Print(count_ == 0 ? "[]\n" : "\n]\n");
  if (const size_t hidden = result.value(wire::kHidden, size_t{0}); hidden != 0) {
    Note(fmt::format("{} changes are left out: they are in directories that you may not read",
                     hidden));
  }
  if (const size_t too_long = result.value(wire::kTooLong, size_t{0}); too_long != 0) {
    Note(fmt::format("{} changes are left out: their paths are longer than 64 KiB", too_long));
  }
}

}  // namespace ckptfs::cli
