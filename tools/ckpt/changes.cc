#include "tools/ckpt/changes.h"

#include "fs/control_wire.h"
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

void ChangePrinter::Finish() const {
  if (json_) PrintLine(count_ == 0 ? "[]" : "\n]");
}

}  // namespace ckptfs::cli
