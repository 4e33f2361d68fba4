#include "tests/fsx/operation_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/error.h"

namespace ckptfs::fsx {
namespace {

constexpr size_t kEntriesMax = 50'000;

}  // namespace

OperationLog::OperationLog(const std::string& path) {
  if (path.empty()) return;
  file_.open(path, std::ios::trunc);
  if (!file_) throw Error(EIO, "make the log " + path);
}

void OperationLog::Add(uint64_t operation, std::string text, std::vector<uint64_t> files) {
  if (file_.is_open()) file_ << operation << ' ' << text << '\n';
  if (entries_.size() >= kEntriesMax) entries_.pop_front();
  entries_.push_back({.operation = operation, .text = std::move(text), .files = std::move(files)});
}

void OperationLog::Print(std::FILE* to, uint64_t file, size_t count) const {
  std::vector<const Entry*> found;
  for (auto entry = entries_.rbegin(); entry != entries_.rend() && found.size() < count; ++entry) {
    const auto& files = entry->files;
    if (file == 0 || files.empty() || std::find(files.begin(), files.end(), file) != files.end()) {
      found.push_back(&*entry);
    }
  }
  std::reverse(found.begin(), found.end());
  for (const Entry* entry : found) fmt::print(to, "  {:8} {}\n", entry->operation, entry->text);
}

}  // namespace ckptfs::fsx
